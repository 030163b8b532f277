//! CA certificates: a bundle is taken as a whole or not at all, and of what it stands in nothing else is kept.

use serde_json::{Map, Value, json};

use super::certificate::authorities;

/// A verdict on CA certificates, and their PEM if they are good.
pub(super) struct Authorities {
    verdict: Value,
    /// The certificates, if all of them are valid.
    pub(super) pem: Option<String>,
}

impl Authorities {
    /// Judges a PEM bundle; `part` names it in messages.
    pub(super) fn of(part: &str, text: Option<&[u8]>) -> Authorities {
        let Some(text) = text else {
            return Authorities::bad("Missing", format!("it has no {part}"));
        };
        match authorities(part, text) {
            Ok(bundle) => Authorities {
                verdict: json!({ "state": "Valid", "message": "" }),
                pem: Some(String::from_utf8_lossy(&bundle.pem).into_owned()),
            },
            Err(message) => Authorities::bad("Malformed", message),
        }
    }

    fn bad(state: &str, message: String) -> Authorities {
        Authorities { verdict: json!({ "state": state, "message": message }), pem: None }
    }

    /// Writes the verdict into an object.
    pub(super) fn judge(&self, object: &mut Map<String, Value>) {
        object.insert("authorities".to_owned(), self.verdict.clone());
    }
}

/// Leaves of a ConfigMap its `ca.crt`.
pub(super) fn config_map(map: &mut Map<String, Value>) {
    let data = map.remove("data");
    map.retain(|field, _| matches!(field.as_str(), "apiVersion" | "kind" | "metadata"));
    let text = data.as_ref().and_then(|data| data.get("ca.crt")).and_then(Value::as_str);
    let authorities = Authorities::of("ca.crt", text.map(str::as_bytes));
    authorities.judge(map);
    if let Some(pem) = authorities.pem {
        map.insert("data".to_owned(), json!({ "ca.crt": pem }));
    }
}

/// Leaves of a ClusterTrustBundle its certificates.
pub(super) fn trust_bundle(map: &mut Map<String, Value>) {
    let Some(Value::Object(spec)) = map.get_mut("spec") else { return };
    let Some(Value::String(text)) = spec.get_mut("trustBundle") else { return };
    let authorities = Authorities::of("spec.trustBundle", Some(text.as_bytes()));
    *text = authorities.pem.clone().unwrap_or_default();
    authorities.judge(map);
}
