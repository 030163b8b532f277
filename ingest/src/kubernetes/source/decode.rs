//! From an object as the API server writes it to a checked and trimmed one.

use kube::core::ApiResource;
use proto::{ArcStr, ClusterId, Kind, ResourceKey};
use serde_json::{Map, Value};

use super::Observed;
use crate::object::{Checked, Fresh, Refusal, check};
use crate::{Limits, kinds};

/// What has come of an object.
pub(super) struct Decoded {
    /// None if its name cannot be told.
    pub(super) key: Option<ResourceKey>,
    pub(super) observed: Observed,
    pub(super) content: Content,
}

/// What is in an object.
pub(super) enum Content {
    /// Something to send.
    Fresh(Box<Fresh>),
    /// Nothing that is of use: as good as not there.
    Useless,
    /// Nothing that can be taken: its older version stays in effect.
    Refused(Vec<Refusal>),
}

/// Reads an object of a kind. Lists leave out `apiVersion` and `kind` of their items.
pub(super) fn decode(
    mut object: Value,
    api: &ApiResource,
    kind: &Kind,
    cluster: &ClusterId,
    limits: &Limits,
) -> Decoded {
    let key = key(&object, kind, cluster);
    let observed = observed(&mut object);
    if is_useless(&object, kind) {
        return Decoded { key, observed, content: Content::Useless };
    }
    if depth(&object) > limits.depth {
        let problem = format!("it is nested deeper than {} levels", limits.depth);
        let refusal = Refusal::new("", problem, "make it flatter; its last good version stays in effect");
        return Decoded { key, observed, content: Content::Refused(vec![refusal]) };
    }
    if let Value::Object(map) = &mut object {
        map.insert("apiVersion".to_owned(), api.api_version.as_str().into());
        map.insert("kind".to_owned(), api.kind.as_str().into());
        // Services alone have a status that is read.
        if observed.status.is_null() || *kind != Kind::SERVICE {
            map.remove("status");
        } else {
            map.insert("status".to_owned(), observed.status.clone());
        }
    }
    let Checked { object, faults } = check(object, cluster, limits);
    let content = match object {
        Some(fresh) => Content::Fresh(Box::new(fresh)),
        // What else is wrong with a Secret is in its verdict, for those who refer to it.
        None => Content::Refused(
            faults.into_iter().map(|(_, refusal)| refusal).filter(|refusal| refusal.broken).collect(),
        ),
    };
    Decoded { key, observed, content }
}

/// The key of an object, as far as it can be told.
pub(super) fn key(object: &Value, kind: &Kind, cluster: &ClusterId) -> Option<ResourceKey> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str);
    named(text("/metadata/namespace").unwrap_or_default(), text("/metadata/name")?, kind, cluster)
}

/// The key of an object by its name.
pub(super) fn named(namespace: &str, name: &str, kind: &Kind, cluster: &ClusterId) -> Option<ResourceKey> {
    let namespace = if kind.is_cluster_scoped() { ArcStr::new() } else { kinds::namespace(namespace) };
    let key = ResourceKey { cluster: cluster.clone(), kind: kind.clone(), namespace, name: name.into() };
    (!name.is_empty()).then_some(key)
}

/// What the server says of an object besides its content; takes the status out.
fn observed(object: &mut Value) -> Observed {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).map(ArcStr::from);
    let (uid, resource_version) = (text("/metadata/uid"), text("/metadata/resourceVersion"));
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    Observed {
        uid: uid.unwrap_or_default(),
        resource_version: resource_version.unwrap_or_default(),
        generation: generation.unwrap_or_default(),
        status: object.get_mut("status").map(Value::take).unwrap_or_default(),
    }
}

/// True for Secrets that have nothing to do with TLS.
fn is_useless(object: &Value, kind: &Kind) -> bool {
    if *kind != Kind::SECRET || object.get("type").and_then(Value::as_str) == Some("kubernetes.io/tls") {
        return false;
    }
    let data = object.get("data").and_then(Value::as_object);
    let has =
        |data: &Map<String, Value>| ["tls.crt", "tls.key", "ca.crt"].iter().any(|k| data.contains_key(*k));
    !data.is_some_and(has)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}
