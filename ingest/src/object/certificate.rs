//! Whether a certificate and a private key can be used together.

use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The short form of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Both are there and belong together.
    Valid,
    /// One of them is not there.
    Missing,
    /// One of them cannot be read.
    Malformed,
    /// The key is not the certificate's.
    Mismatch,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Valid => "Valid",
            State::Missing => "Missing",
            State::Malformed => "Malformed",
            State::Mismatch => "Mismatch",
        }
    }
}

/// What is to be said about a pair.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) state: State,
    /// The field at fault.
    pub(super) field: &'static str,
    /// Empty if valid.
    pub(super) message: String,
    pub(super) remedy: &'static str,
}

const CERTIFICATE: &str = "data.tls.crt";
const KEY: &str = "data.tls.key";
const PEM_CHAIN: &str = "put a PEM certificate chain there, the server's certificate first";
const PEM_KEY: &str = "put the certificate's private key there as PEM, RSA or ECDSA, not encrypted";

/// Judges a PEM chain and a PEM key. Messages never quote the key.
pub(super) fn check(certificate: Option<&[u8]>, key: Option<&[u8]>) -> Verdict {
    let verdict =
        |state, field, message: &str, remedy| Verdict { state, field, message: message.into(), remedy };
    let Some(certificate) = certificate else {
        return verdict(State::Missing, CERTIFICATE, "the Secret has no tls.crt", PEM_CHAIN);
    };
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(certificate).collect();
    let chain = match chain {
        Ok(chain) if !chain.is_empty() => chain,
        _ => return verdict(State::Malformed, CERTIFICATE, "tls.crt has no PEM certificate", PEM_CHAIN),
    };
    let Some(key) = key else {
        return verdict(State::Missing, KEY, "the Secret has no tls.key", PEM_KEY);
    };
    let key = PrivateKeyDer::from_pem_slice(key).ok().and_then(|key| any_supported_type(&key).ok());
    let Some(key) = key else {
        return verdict(State::Malformed, KEY, "tls.key is not a PEM private key that is supported", PEM_KEY);
    };
    match CertifiedKey::new(chain, key).keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => verdict(State::Valid, "", "", ""),
        Err(Error::InconsistentKeys(_)) => {
            let message = "tls.key does not belong to the first certificate of tls.crt";
            verdict(State::Mismatch, KEY, message, "use the pair that was issued together")
        }
        Err(_) => {
            let message = "the first certificate of tls.crt is not valid X.509";
            verdict(State::Malformed, CERTIFICATE, message, PEM_CHAIN)
        }
    }
}
