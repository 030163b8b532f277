//! Certificates of a server and of authorities: read as a whole, judged, and written in the form that proxies read.
//!
//! What Envoy 1.40 serves with is taken, and nothing else: one certificate that it refuses keeps a listener's port from
//! opening. (Tried out; `fleetgate/tests/e2e/certificates.rs` does it again.)

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::revocation_list::CertificateRevocationList;
use zeroize::Zeroizing;

use super::der::{self, OF_NAMES};
use super::pem::{self, Block, Flaw};

const CERTIFICATE: &str = "CERTIFICATE";
const REVOCATION_LIST: &str = "X509 CRL";
/// Smallest and largest RSA key in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Certificates that one bundle may have: more than any trust store.
const MOST: usize = 2000;

/// What a PEM text with certificates has.
pub(super) struct Bundle {
    /// Certificates alone, and lists of revoked ones where those are wanted.
    pub(super) pem: Zeroizing<Vec<u8>>,
    /// The certificates, DER.
    pub(super) certificates: Vec<Vec<u8>>,
    /// True if a private key stood among them, which was left out.
    pub(super) had_key: bool,
}

/// Reads a server's chain; `part` names the text in messages.
///
/// # Errors
/// What is wrong with it, without a quote of it.
pub(super) fn chain(part: &str, text: &[u8]) -> Result<Bundle, String> {
    bundle(part, text, false)
}

/// Reads authorities' certificates, and their lists of revoked ones.
///
/// # Errors
/// What is wrong with it, without a quote of it.
pub(super) fn authorities(part: &str, text: &[u8]) -> Result<Bundle, String> {
    bundle(part, text, true)
}

fn bundle(part: &str, text: &[u8], lists: bool) -> Result<Bundle, String> {
    let mut bundle = Bundle { pem: Zeroizing::default(), certificates: Vec::new(), had_key: false };
    for block in pem::blocks(text) {
        let label = block.as_ref().map_or_else(|(label, _)| label, |block| &block.label).clone();
        bundle.had_key |= label.ends_with("PRIVATE KEY");
        let number = bundle.certificates.len() + 1;
        match label.as_str() {
            CERTIFICATE | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                let der =
                    certificate(block).map_err(|flaw| format!("certificate {number} of {part} {flaw}"))?;
                pem::write(CERTIFICATE, &der, &mut bundle.pem);
                bundle.certificates.push(der);
            }
            REVOCATION_LIST if lists => {
                let der = revocation_list(block)
                    .map_err(|flaw| format!("a list of revoked ones in {part} {flaw}"))?;
                pem::write(REVOCATION_LIST, &der, &mut bundle.pem);
            }
            // Envoy passes over all others.
            _ => {}
        }
        if bundle.certificates.len() > MOST {
            return Err(format!("{part} has more than {MOST} certificates"));
        }
    }
    if bundle.certificates.is_empty() {
        return Err(format!("{part} has no PEM certificate"));
    }
    Ok(bundle)
}

/// The DER of a certificate, without what follows it.
fn certificate(block: Result<Block, (String, Flaw)>) -> Result<Vec<u8>, &'static str> {
    const PROBLEM: &str = "is not valid X.509";
    let block = block.map_err(|(_, flaw)| flaw.sentence())?;
    let (rest, certificate) = X509Certificate::from_der(&block.der).map_err(|_| PROBLEM)?;
    let der = &block.der[..block.der.len() - rest.len()];
    let names = certificate.subject().iter_attributes().chain(certificate.issuer().iter_attributes());
    let mut tags = names.map(|part| part.attr_value().tag().0);
    if !der::is_signed(der) || !tags.all(|tag| OF_NAMES.contains(&tag)) {
        return Err(PROBLEM);
    }
    Ok(der.to_vec())
}

fn revocation_list(block: Result<Block, (String, Flaw)>) -> Result<Vec<u8>, &'static str> {
    let block = block.map_err(|(_, flaw)| flaw.sentence())?;
    const PROBLEM: &str = "is not a valid X.509 CRL";
    let (rest, _) = CertificateRevocationList::from_der(&block.der).map_err(|_| PROBLEM)?;
    let der = &block.der[..block.der.len() - rest.len()];
    if der::is_signed(der) { Ok(der.to_vec()) } else { Err(PROBLEM) }
}

/// Kinds of keys that Envoy serves with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

/// The public key of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Public {
    pub(super) kind: KeyKind,
    /// As the certificate has it: a point, or for RSA the DER of modulus and exponent.
    pub(super) bytes: Vec<u8>,
}

/// The key of a server's certificate.
///
/// # Errors
/// Why Envoy would not serve with it.
pub(super) fn servable(der: &[u8]) -> Result<Public, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| "is not valid X.509")?;
    if wants_staple(&certificate) {
        return Err(
            "must be served with a stapled OCSP response (RFC 7633), which there is none of".to_owned()
        );
    }
    let key = certificate.public_key();
    let (algorithm, parameters) = (&key.algorithm, key.algorithm.parameters.as_ref());
    let curve = || parameters.and_then(|curve| curve.as_oid().ok()).map(|curve| curve.to_id_string());
    let kind = match algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.1" => KeyKind::Rsa,
        "1.3.101.112" => KeyKind::Ed25519,
        "1.2.840.10045.2.1" => match curve().as_deref() {
            Some("1.2.840.10045.3.1.7") => KeyKind::P256,
            Some("1.3.132.0.34") => KeyKind::P384,
            Some("1.3.132.0.35") => KeyKind::P521,
            _ => return Err(format!("has a key on a curve that is not served; {KINDS}")),
        },
        _ => return Err(format!("has a key of a kind that is not served; {KINDS}")),
    };
    if kind == KeyKind::Rsa {
        let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
            return Err("has an RSA key that cannot be read".to_owned());
        };
        let bits = bits(rsa.modulus);
        if !RSA_BITS.contains(&bits) {
            return Err(format!("has an RSA key of {bits} bits; {KINDS}"));
        }
    }
    Ok(Public { kind, bytes: key.subject_public_key.data.to_vec() })
}

fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let first = number.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize);
    (number.len() - zeros) * 8 - first
}

const KINDS: &str = "use RSA of 2048 to 8192 bits, ECDSA P-256, P-384 or P-521, or Ed25519";

/// Extension TLS feature with `status_request`.
fn wants_staple(certificate: &X509Certificate<'_>) -> bool {
    let feature = |extension: &&x509_parser::extensions::X509Extension<'_>| {
        extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.24"
    };
    certificate.extensions().iter().find(feature).is_some_and(|extension| extension.value.contains(&5))
}
