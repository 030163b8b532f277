//! Secrets: the public parts stay, the private key goes to the key store, all else is dropped unseen.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proto::ContentHash;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::certificate::{State, Verdict, check};
use super::{Refusal, holds_private_key};

/// What is left to do after trimming.
pub(super) struct Trimmed {
    pub(super) faults: Vec<Refusal>,
    pub(super) private_key: Option<(ContentHash, Zeroizing<Vec<u8>>)>,
}

/// Replaces a Secret's data by its public part and a verdict on its key.
pub(super) fn trim(map: &mut Map<String, Value>) -> Trimmed {
    let mut faults = Vec::new();
    let data = map.remove("data");
    let strings = map.remove("stringData");
    map.retain(|field, _| matches!(field.as_str(), "apiVersion" | "kind" | "metadata" | "type"));
    let mut part = |name: &str| take(data.as_ref(), strings.as_ref(), name, &mut faults);
    let (certificate, authority, key) = (part("tls.crt"), part("ca.crt"), part("tls.key"));

    let is_tls = map.get("type").and_then(Value::as_str) == Some("kubernetes.io/tls");
    let wants_key = is_tls || certificate.is_some() || key.is_some();
    let verdict = check(certificate.as_deref().map(Vec::as_slice), key.as_deref().map(Vec::as_slice));
    if wants_key && verdict.state != State::Valid {
        faults.push(Refusal::new(verdict.field, verdict.message.clone(), verdict.remedy));
    }
    let mut public = Map::new();
    for (name, value) in [("tls.crt", certificate.as_ref()), ("ca.crt", authority.as_ref())] {
        let Some(value) = value else { continue };
        if holds_private_key(value) {
            let remedy = "keep the private key in tls.key only; this part is not taken";
            faults.push(Refusal::new(&format!("data.{name}"), "it contains a private key", remedy));
        } else {
            public.insert(name.to_owned(), STANDARD.encode(value.as_slice()).into());
        }
    }
    map.insert("data".to_owned(), public.into());
    map.insert("privateKey".to_owned(), field(&verdict));
    let private_key = match (verdict.state, certificate, key) {
        (State::Valid, Some(certificate), Some(key)) => Some((ContentHash::of(&certificate), key)),
        _ => None,
    };
    Trimmed { faults, private_key }
}

fn field(verdict: &Verdict) -> Value {
    json!({ "state": verdict.state.name(), "message": verdict.message })
}

/// One part, decoded; `stringData` wins, as in Kubernetes. What is not base64 is taken as text, so that
/// the verdict names it malformed.
fn take(
    data: Option<&Value>,
    strings: Option<&Value>,
    name: &str,
    faults: &mut Vec<Refusal>,
) -> Option<Zeroizing<Vec<u8>>> {
    if let Some(text) = strings.and_then(|map| map.get(name)).and_then(Value::as_str) {
        return Some(Zeroizing::new(text.as_bytes().to_vec()));
    }
    let encoded = data?.get(name)?.as_str().unwrap_or_default();
    let compact: Zeroizing<String> =
        Zeroizing::new(encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    match STANDARD.decode(compact.as_bytes()) {
        Ok(decoded) => Some(Zeroizing::new(decoded)),
        Err(_) => {
            let remedy = "encode it (base64 -w0), or move it to stringData";
            faults.push(Refusal::new(&format!("data.{name}"), "the value is not base64", remedy));
            Some(Zeroizing::new(Vec::new()))
        }
    }
}
