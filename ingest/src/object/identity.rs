//! Whether a certificate and a private key can be used together.

use zeroize::Zeroizing;

use super::certificate::{Bundle, chain, servable};
use super::private_key::{Unusable, of_certificate};

/// The short form of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Both are there and belong together.
    Valid,
    /// One of them is not there.
    Missing,
    /// One of them cannot be read, or no proxy could serve with it.
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

/// A certificate, its key, and what is to be said of them.
pub(super) struct Identity {
    pub(super) verdict: Verdict,
    /// The chain as PEM, if it can be read.
    pub(super) chain: Option<Zeroizing<Vec<u8>>>,
    /// True if a private key stood in the chain, which was left out.
    pub(super) key_in_chain: bool,
    /// The private key as PEM, if the pair is valid.
    pub(super) private_key: Option<Zeroizing<Vec<u8>>>,
}

const CERTIFICATE: &str = "data.tls.crt";
const KEY: &str = "data.tls.key";
const PEM_CHAIN: &str = "put a PEM certificate chain there, the server's certificate first";
const PEM_KEY: &str = "put the certificate's private key there as PEM, RSA, ECDSA or Ed25519, not encrypted";

/// Judges a PEM chain and a PEM key. Messages never quote either.
pub(super) fn judge(certificate: Option<&[u8]>, key: Option<&[u8]>) -> Identity {
    let verdict = |state, field, message: String, remedy| Verdict { state, field, message, remedy };
    let refused = |verdict| Identity { verdict, chain: None, key_in_chain: false, private_key: None };
    let Some(certificate) = certificate else {
        let message = "the Secret has no tls.crt".to_owned();
        return refused(verdict(State::Missing, CERTIFICATE, message, PEM_CHAIN));
    };
    let read = match chain("tls.crt", certificate) {
        Ok(read) => read,
        Err(message) => return refused(verdict(State::Malformed, CERTIFICATE, message, PEM_CHAIN)),
    };
    let with = |verdict, private_key| {
        let chain = Some(read.pem.clone());
        Identity { verdict, chain, key_in_chain: read.had_key, private_key }
    };
    let Some(key) = key else {
        let message = "the Secret has no tls.key".to_owned();
        return with(verdict(State::Missing, KEY, message, PEM_KEY), None);
    };
    let public = match servable(&read.certificates[0]) {
        Ok(public) => public,
        Err(problem) => {
            let message = format!("the first certificate of tls.crt {problem}");
            return with(verdict(State::Malformed, CERTIFICATE, message, "use another certificate"), None);
        }
    };
    match of_certificate(key, &public) {
        Ok(key) => with(verdict(State::Valid, "", String::new(), ""), Some(key)),
        Err(Unusable::Mismatch) => {
            let (message, remedy) = mismatch(key, &read);
            with(verdict(State::Mismatch, KEY, message.to_owned(), remedy), None)
        }
        Err(unusable) => {
            let message = match unusable {
                Unusable::None => "tls.key has no PEM private key",
                Unusable::Encrypted => "tls.key is encrypted with a password",
                _ => "tls.key is not a PEM private key that is supported",
            };
            with(verdict(State::Malformed, KEY, message.to_owned(), PEM_KEY), None)
        }
    }
}

/// What to say of a key that is not the first certificate's; it may be that of another one of the chain.
fn mismatch(key: &[u8], chain: &Bundle) -> (&'static str, &'static str) {
    let is_of = |der: &Vec<u8>| servable(der).is_ok_and(|public| of_certificate(key, &public).is_ok());
    match chain.certificates[1..].iter().take(8).any(is_of) {
        true => (
            "tls.key belongs to another certificate of tls.crt than the first",
            "put the server's own certificate first",
        ),
        false => (
            "tls.key does not belong to the first certificate of tls.crt",
            "use the pair that was issued together",
        ),
    }
}
