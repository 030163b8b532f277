//! Secrets: certificates stay, the private key goes to the key store, all else is dropped unseen.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proto::ContentHash;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::Refusal;
use super::authorities::Authorities;
use super::identity::{Identity, State, Verdict, judge};

/// What is left to do after trimming.
pub(super) struct Trimmed {
    pub(super) faults: Vec<Refusal>,
    pub(super) private_key: Option<(ContentHash, Zeroizing<Vec<u8>>)>,
}

/// Replaces a Secret by its name, its certificates, and verdicts on these and on its key.
pub(super) fn trim(map: &mut Map<String, Value>) -> Trimmed {
    let mut faults = Vec::new();
    let data = map.remove("data");
    let strings = map.remove("stringData");
    let is_tls = map.get("type").and_then(Value::as_str) == Some("kubernetes.io/tls");
    map.retain(|field, _| matches!(field.as_str(), "apiVersion" | "kind" | "metadata"));
    let mut part = |name: &str| take(data.as_ref(), strings.as_ref(), name, &mut faults);
    let (certificate, authority, key) = (part("tls.crt"), part("ca.crt"), part("tls.key"));

    let wants_key = is_tls || certificate.is_some() || key.is_some();
    let Identity { verdict, chain, key_in_chain, private_key } =
        judge(certificate.as_deref().map(Vec::as_slice), key.as_deref().map(Vec::as_slice));
    if wants_key && verdict.state != State::Valid {
        faults.push(Refusal::new(verdict.field, verdict.message.clone(), verdict.remedy));
    }
    if key_in_chain {
        let remedy = "keep the private key in tls.key only; here it is left out";
        faults.push(Refusal::new("data.tls.crt", "it contains a private key", remedy));
    }
    let authorities = Authorities::of("ca.crt", authority.as_deref().map(Vec::as_slice));
    authorities.judge(map);
    let mut public = Map::new();
    if let Some(chain) = &chain {
        public.insert("tls.crt".to_owned(), STANDARD.encode(chain).into());
    }
    if let Some(pem) = &authorities.pem {
        public.insert("ca.crt".to_owned(), STANDARD.encode(pem).into());
    }
    map.insert("data".to_owned(), public.into());
    map.insert("privateKey".to_owned(), field(&verdict));
    let private_key = chain.zip(private_key).map(|(chain, key)| (ContentHash::of(&chain), key));
    Trimmed { faults, private_key }
}

fn field(verdict: &Verdict) -> Value {
    json!({ "state": verdict.state.name(), "message": verdict.message })
}

/// One part, decoded; `stringData` wins, as in Kubernetes. What is not base64 is taken as empty, so that
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

/// The state of a Secret whose private key is not known: what it held is what it holds as far as anybody can tell, but
/// nothing can be served with it. None if `payload` is not one of a valid pair.
pub(crate) fn without_key(payload: &[u8]) -> Option<Vec<u8>> {
    let mut map: Map<String, Value> = serde_json::from_slice(payload).ok()?;
    let verdict = map.get_mut("privateKey")?;
    if verdict.get("state")? != State::Valid.name() {
        return None;
    }
    let message = "what holds it cannot be read at present, so its private key is not known";
    *verdict = json!({ "state": "Unread", "message": message });
    Some(super::canonical::write(&map).0)
}
