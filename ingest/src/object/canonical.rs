//! Canonical JSON: sorted keys, no blanks. Equal objects have equal bytes and so equal hashes.

use proto::ContentHash;
use serde_json::{Map, Value};

/// The bytes of an object, and the hash of all but its metadata and status.
pub(super) fn write(object: &Map<String, Value>) -> (Vec<u8>, ContentHash) {
    let mut out = Vec::with_capacity(512);
    let mut spec = ContentHash::default();
    out.push(b'{');
    for (n, (key, value)) in sorted(object).into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        let start = out.len();
        scalar(&mut out, key);
        out.push(b':');
        append(&mut out, value);
        if key != "metadata" && key != "status" {
            spec = spec.with(ContentHash::of_named(key, &out[start..]));
        }
    }
    out.push(b'}');
    (out, spec)
}

/// Hash of all but metadata and status of a trimmed object, as in [`crate::Known`]; none if
/// `payload` is not a JSON object.
pub fn spec_hash(payload: &[u8]) -> Option<ContentHash> {
    let object: Map<String, Value> = serde_json::from_slice(payload).ok()?;
    Some(write(&object).1)
}

fn append(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                append(out, item);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            out.push(b'{');
            for (n, (key, value)) in sorted(map).into_iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                scalar(out, key);
                out.push(b':');
                append(out, value);
            }
            out.push(b'}');
        }
        Value::String(text) => scalar(out, text),
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

/// serde_json's map is sorted unless some crate of the build turns on `preserve_order`.
fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    if !entries.is_sorted_by_key(|(key, _)| *key) {
        entries.sort_unstable_by_key(|(key, _)| *key);
    }
    entries
}

fn scalar(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is always written to memory");
}

#[cfg(test)]
mod tests {
    use super::{spec_hash, write};
    use serde_json::json;

    #[test]
    fn the_spec_hash_is_blind_to_metadata_and_survives_the_payload() {
        let object = |name: &str, spec: i32| {
            write(json!({"spec": {"b": spec, "a": 1.5}, "metadata": {"name": name}}).as_object().unwrap())
        };
        let (bytes, hash) = object("x", 1);
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            r#"{"metadata":{"name":"x"},"spec":{"a":1.5,"b":1}}"#
        );
        assert_eq!(spec_hash(&bytes), Some(hash));
        assert_eq!(object("y", 1).1, hash);
        assert_ne!(object("x", 2).1, hash);
        assert_eq!(spec_hash(b"1"), None);
    }
}
