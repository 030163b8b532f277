//! From a document's text to checked, trimmed objects.

mod authorities;
mod canonical;
mod certificate;
mod der;
mod identity;
mod null;
mod pem;
mod private_key;
mod secret;
mod trim;

use bytes::Bytes;
use proto::{ClusterId, ContentHash, Kind, ResourceKey};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::fault::DocumentFault;
use crate::yaml::{Lines, SyntaxError, compose, compose_json};
use crate::{Limits, kinds};

pub use canonical::spec_hash;
pub(crate) use secret::without_key;

/// What is remembered of an object: no more than needed to tell whether it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectState {
    pub(crate) key: ResourceKey,
    /// Hash of the trimmed JSON: its resource version.
    pub(crate) hash: ContentHash,
    /// Hash of all but metadata and status.
    pub(crate) spec: ContentHash,
    /// `metadata.generation` as the user wrote it.
    pub(crate) generation: Option<i64>,
    /// Place in a `List`.
    pub(crate) item: Option<u32>,
}

/// An object that was just read.
pub(crate) struct Fresh {
    pub(crate) state: ObjectState,
    pub(crate) payload: Bytes,
    /// A Secret's private key with the hash of its certificate.
    pub(crate) private_key: Option<(ContentHash, Zeroizing<Vec<u8>>)>,
}

/// One document.
#[derive(Default)]
pub(crate) struct Parsed {
    pub(crate) objects: Vec<Fresh>,
    pub(crate) faults: Vec<DocumentFault>,
    /// True if something in it that may well be an object could not be read.
    pub(crate) broken: bool,
}

/// Why an object, or a part of it, is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) field: String,
    pub(crate) problem: String,
    pub(crate) remedy: String,
    /// True if the object is not taken because of it, and is ours.
    pub(crate) broken: bool,
}

impl Refusal {
    pub(crate) fn new(field: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Refusal {
        Refusal { field: field.to_owned(), problem: problem.into(), remedy: remedy.into(), broken: true }
    }
}

/// Reads one document, YAML or JSON.
pub(crate) fn parse(text: &str, json: bool, cluster: &ClusterId, limits: &Limits) -> Parsed {
    let composed = if json { compose_json(text) } else { compose(text, limits) };
    match composed {
        Ok(Value::Null) => Parsed::default(),
        Ok(value) => Reader { text, cluster, limits, lines: None, parsed: Parsed::default() }.document(value),
        Err(SyntaxError { line, problem, remedy }) => {
            let fault = DocumentFault { line, object: None, field: String::new(), problem, remedy };
            Parsed { objects: Vec::new(), faults: vec![fault], broken: true }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    cluster: &'a ClusterId,
    limits: &'a Limits,
    /// Built at the first fault.
    lines: Option<Lines>,
    parsed: Parsed,
}

impl Reader<'_> {
    fn document(mut self, mut value: Value) -> Parsed {
        let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
        match value.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) if is_list => self.list(items),
            Some(_) if is_list => {
                let refusal =
                    Refusal::new("items", "the items of a List are not a list", "write a list of objects");
                self.fault(None, None, refusal);
            }
            items => {
                if let (Some(items), Some(map)) = (items, value.as_object_mut()) {
                    map.insert("items".to_owned(), items);
                }
                self.object(value, None);
            }
        }
        self.parsed
    }

    fn list(&mut self, items: Vec<Value>) {
        let limit = self.limits.objects_per_document;
        if items.len() > limit {
            let problem = format!("the List has {} items, more than {limit}", items.len());
            self.fault(None, None, Refusal::new("items", problem, "spread them over several documents"));
            return;
        }
        for (n, item) in items.into_iter().enumerate() {
            self.object(item, u32::try_from(n).ok());
        }
    }

    fn object(&mut self, value: Value, item: Option<u32>) {
        let Checked { object, faults } = check(value, self.cluster, self.limits);
        for (key, refusal) in faults {
            self.fault(item, key.as_ref(), refusal);
        }
        self.parsed.objects.extend(object.map(|object| {
            let state = ObjectState { item, ..object.state };
            Fresh { state, ..object }
        }));
    }

    fn fault(&mut self, item: Option<u32>, object: Option<&ResourceKey>, refusal: Refusal) {
        let lines = self.lines.get_or_insert_with(|| Lines::of(self.text));
        let Refusal { field, problem, remedy, broken } = refusal;
        let line = lines.line(item.map(|n| n as usize), &field);
        self.parsed.broken |= broken;
        self.parsed.faults.push(DocumentFault { line, object: object.cloned(), field, problem, remedy });
    }
}

/// One object, and what is wrong with it.
pub(crate) struct Checked {
    /// None if it is refused.
    pub(crate) object: Option<Fresh>,
    /// With the object's key, if it could be told.
    pub(crate) faults: Vec<(Option<ResourceKey>, Refusal)>,
}

/// Checks and trims an object.
pub(crate) fn check(mut value: Value, cluster: &ClusterId, limits: &Limits) -> Checked {
    null::remove(&mut value);
    let refused = |key, refusal| Checked { object: None, faults: vec![(key, refusal)] };
    let Value::Object(mut map) = value else {
        let refusal =
            Refusal::new("", "the document is not an object", "write apiVersion, kind and metadata");
        return refused(None, refusal);
    };
    let (key, generation) = match identify(&mut map, cluster) {
        Ok(identity) => identity,
        Err(refusal) => return refused(None, refusal),
    };
    let (mut faults, mut private_key) = (Vec::new(), None);
    if key.kind == Kind::SECRET {
        let trimmed = secret::trim(&mut map);
        let of_a_part = |refusal| (Some(key.clone()), Refusal { broken: false, ..refusal });
        faults.extend(trimmed.faults.into_iter().map(of_a_part));
        private_key = trimmed.private_key;
    } else {
        trim::trim(&mut map, &key.kind);
    }
    let (payload, spec) = canonical::write(&map);
    // Before the schema, whose faults may quote a value.
    if holds_private_key(&payload) {
        let refusal = Refusal::new(
            "",
            "a private key stands outside a Secret's tls.key",
            "move it to data[\"tls.key\"] of a Secret; the object is not taken",
        );
        faults.push((Some(key), refusal));
        return Checked { object: None, faults };
    }
    let malformed = (limits.schema)(&key, &Value::Object(map));
    if !malformed.is_empty() {
        let refusal = |fault: proto::Fault| {
            (Some(key.clone()), Refusal::new(&fault.field, fault.problem, fault.remedy))
        };
        faults.extend(malformed.into_iter().map(refusal));
        return Checked { object: None, faults };
    }
    let state = ObjectState { key, hash: ContentHash::of(&payload), spec, generation, item: None };
    Checked { object: Some(Fresh { state, payload: payload.into(), private_key }), faults }
}

fn holds_private_key(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"PRIVATE KEY-----").is_some()
}

/// The key and the user's generation; puts metadata into its trimmed form.
fn identify(
    map: &mut Map<String, Value>,
    cluster: &ClusterId,
) -> Result<(ResourceKey, Option<i64>), Refusal> {
    let text = |field: &str| map.get(field).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if kind.is_empty() {
        return Err(Refusal::new("kind", "the document has no kind", "write one, e.g. kind: HTTPRoute"));
    }
    let kind = kinds::find(api_version, kind).map_err(|unknown| Refusal {
        field: unknown.field.to_owned(),
        problem: unknown.problem,
        remedy: unknown.remedy,
        broken: false,
    })?;
    let Some(Value::Object(metadata)) = map.get_mut("metadata") else {
        return Err(Refusal::new("metadata.name", "the object has no name", "write metadata.name"));
    };
    let generation = metadata.get("generation").and_then(Value::as_i64).filter(|n| *n > 0);
    let name = name(metadata, &kind)?;
    let namespace = namespace(metadata, &kind)?;
    trim::metadata(metadata, &kind);
    let key = ResourceKey {
        cluster: cluster.clone(),
        kind,
        namespace: kinds::namespace(&namespace),
        name: name.into(),
    };
    Ok((key, generation))
}

fn name(metadata: &Map<String, Value>, kind: &Kind) -> Result<String, Refusal> {
    const FIELD: &str = "metadata.name";
    match metadata.get("name") {
        None | Some(Value::Null) => Err(Refusal::new(FIELD, "the object has no name", "write metadata.name")),
        Some(Value::String(name)) => {
            let (ok, form) = match kind {
                kind if *kind == Kind::NAMESPACE || *kind == Kind::SERVICE => (is_label(name), LABEL),
                kind if *kind == Kind::CLUSTER_TRUST_BUNDLE => (name.split(':').all(is_subdomain), BUNDLE),
                _ => (is_subdomain(name), SUBDOMAIN),
            };
            if ok {
                return Ok(name.clone());
            }
            Err(Refusal::new(FIELD, format!("\"{}\" is not a valid name", cut(name)), form))
        }
        Some(other) => Err(not_text(FIELD, other)),
    }
}

/// Lists and maps are not quoted: they may hold anything.
fn not_text(field: &str, value: &Value) -> Refusal {
    match value {
        Value::Array(_) | Value::Object(_) => Refusal::new(field, "it is not a string", "write one name"),
        Value::Bool(word) => Refusal::new(field, format!("{word} is not a string"), QUOTE_WORDS),
        other => Refusal::new(field, format!("{other} is not a string"), "put it in quotes"),
    }
}

/// As much of a name as one has.
fn cut(name: &str) -> String {
    name.chars().take(64).collect()
}

fn namespace(metadata: &mut Map<String, Value>, kind: &Kind) -> Result<String, Refusal> {
    const FIELD: &str = "metadata.namespace";
    if kind.is_cluster_scoped() {
        metadata.remove("namespace");
        return Ok(String::new());
    }
    match metadata.get("namespace") {
        None | Some(Value::Null) => {}
        Some(Value::String(namespace)) if namespace.is_empty() => {}
        Some(Value::String(namespace)) if is_label(namespace) => return Ok(namespace.clone()),
        Some(Value::String(namespace)) => {
            let problem = format!("\"{}\" is not a valid namespace", cut(namespace));
            return Err(Refusal::new(FIELD, problem, LABEL));
        }
        Some(other) => return Err(not_text(FIELD, other)),
    }
    metadata.insert("namespace".to_owned(), "default".into());
    Ok("default".to_owned())
}

const QUOTE_WORDS: &str = "put it in quotes: YAML takes y, n, yes, no, on, off, true and false for booleans";
const LABEL: &str = "use at most 63 lower-case letters, digits and '-', a letter or digit at both ends";
const SUBDOMAIN: &str =
    "use at most 253 lower-case letters, digits, '-' and '.', a letter or digit at both ends of each part";
/// A bundle with a signer is named `SIGNER:NAME`, with `:` for the slash of the signer's name.
const BUNDLE: &str = "use names of lower-case letters, digits, '-' and '.', joined by ':'";

fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_part(name)
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_part)
}

fn is_part(part: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.iter().all(|b| alphanumeric(*b) || *b == b'-')
        && bytes.first().is_some_and(|b| alphanumeric(*b))
        && bytes.last().is_some_and(|b| alphanumeric(*b))
}

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod secret_tests;
#[cfg(test)]
mod tests;
