//! Private keys: whether one belongs to a certificate, and its PEM in the form that proxies read.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use x509_parser::asn1_rs::{Any, FromDer, Tag};
use zeroize::Zeroizing;

use super::certificate::{KeyKind, Public};
use super::pem;

/// Why a key is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// There is no block of a private key.
    None,
    /// It has a password.
    Encrypted,
    /// It is not what its label says.
    Malformed,
    /// It is not the certificate's.
    Mismatch,
}

/// The PEM of the first private key in a text, if it is that of a certificate.
pub(super) fn of_certificate(text: &[u8], public: &Public) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    for block in pem::blocks(text) {
        let label = block.as_ref().map_or_else(|(label, _)| label, |block| &block.label).clone();
        if !label.ends_with("PRIVATE KEY") {
            continue;
        }
        let block = block.map_err(|_| Unusable::Malformed)?;
        if block.encrypted || label == "ENCRYPTED PRIVATE KEY" {
            return Err(Unusable::Encrypted);
        }
        check(&label, &block.der, public)?;
        let mut out = Zeroizing::default();
        pem::write(&label, &block.der, &mut out);
        return Ok(out);
    }
    Err(Unusable::None)
}

fn check(label: &str, der: &[u8], public: &Public) -> Result<(), Unusable> {
    let (algorithm, key) = match label {
        "PRIVATE KEY" => pkcs8(der).ok_or(Unusable::Malformed)?,
        "RSA PRIVATE KEY" => (RSA, der),
        "EC PRIVATE KEY" => (EC, der),
        _ => return Err(Unusable::Malformed),
    };
    match (algorithm, public.kind) {
        (RSA, KeyKind::Rsa) => rsa(key, public),
        (EC, KeyKind::P256) => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, key, public),
        (EC, KeyKind::P384) => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, key, public),
        (EC, KeyKind::P521) => p521(key, public),
        (ED25519, KeyKind::Ed25519) => ed25519(der, public),
        _ => Err(Unusable::Mismatch),
    }
}

/// Content of the algorithms' object identifiers.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// The elements of a sequence.
fn elements(der: &[u8]) -> Option<Vec<Any<'_>>> {
    let (_, sequence) = Any::from_der(der).ok()?;
    let (mut rest, mut elements) = (sequence.data, Vec::new());
    while !rest.is_empty() {
        let (after, element) = Any::from_der(rest).ok()?;
        elements.push(element);
        rest = after;
    }
    Some(elements)
}

/// Algorithm and key of a `PrivateKeyInfo` (RFC 5208, RFC 5958).
fn pkcs8(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let info = elements(der)?;
    let (algorithm, key) = (info.get(1)?, info.get(2)?);
    let (_, identifier) = Any::from_der(algorithm.data).ok()?;
    Some((identifier.data, key.data))
}

/// A number without leading zeros.
fn number(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// An `RSAPrivateKey` (RFC 8017). What ring cannot judge, such as keys above 4096 bits, is told by modulus and exponent.
fn rsa(der: &[u8], public: &Public) -> Result<(), Unusable> {
    const BEYOND: [&str; 3] = ["TooLarge", "PrivateModulusLenNotMultipleOf512Bits", "InvalidComponent"];
    let key = elements(der).filter(|key| key.len() >= 9).ok_or(Unusable::Malformed)?;
    let of = elements(&public.bytes).filter(|of| of.len() == 2).ok_or(Unusable::Malformed)?;
    if (number(key[1].data), number(key[2].data)) != (number(of[0].data), number(of[1].data)) {
        return Err(Unusable::Mismatch);
    }
    match RsaKeyPair::from_der(der) {
        Ok(_) => Ok(()),
        Err(error) if BEYOND.contains(&error.to_string().as_str()) => Ok(()),
        Err(_) => Err(Unusable::Malformed),
    }
}

/// The scalar of an `ECPrivateKey` (RFC 5915), in so many bytes.
fn scalar(der: &[u8], length: usize) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    let key = elements(der).ok_or(Unusable::Malformed)?;
    let scalar = number(key.get(1).ok_or(Unusable::Malformed)?.data);
    let zeros = length.checked_sub(scalar.len()).ok_or(Unusable::Mismatch)?;
    let mut padded = Zeroizing::new(vec![0; length]);
    padded[zeros..].copy_from_slice(scalar);
    Ok(padded)
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, der: &[u8], public: &Public) -> Result<(), Unusable> {
    let scalar = scalar(der, public.bytes.len() / 2)?;
    let pair = EcdsaKeyPair::from_private_key_and_public_key(
        algorithm,
        &scalar,
        &public.bytes,
        &SystemRandom::new(),
    );
    pair.map(drop).map_err(|_| Unusable::Mismatch)
}

/// ring does not know the curve: the key says itself whose it is, and one that does not is believed. Envoy looks again.
fn p521(der: &[u8], public: &Public) -> Result<(), Unusable> {
    scalar(der, 66)?;
    let key = elements(der).ok_or(Unusable::Malformed)?;
    // [1] with a bit string, whose first byte counts unused bits.
    let Some(said) = key.iter().find(|element| element.header.tag() == Tag(1)) else { return Ok(()) };
    let (_, point) = Any::from_der(said.data).map_err(|_| Unusable::Malformed)?;
    if point.data.get(1..) == Some(&public.bytes) { Ok(()) } else { Err(Unusable::Mismatch) }
}

fn ed25519(der: &[u8], public: &Public) -> Result<(), Unusable> {
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| Unusable::Malformed)?;
    if key.public_key().as_ref() == public.bytes { Ok(()) } else { Err(Unusable::Mismatch) }
}
