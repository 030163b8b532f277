//! A status of ours, taken into the one that the server has: what others wrote stays as it is.
//!
//! Sources: GEP-1364 (conditions), `RouteParentStatus` and `PolicyAncestorStatus` of the Gateway API: a controller
//! owns the entries with its own `controllerName` and no others.

use proto::report::{ListenerStatus, ParentStatus};
use proto::{Condition, Kind, ObjectStatus};
use serde_json::{Map, Value, json};

/// Condition types that we write on GatewayClasses, Gateways, ListenerSets and listeners; all others are somebody else's.
const OURS: [&str; 10] = [
    "Accepted",
    "AddressesAssigned",
    "Conflicted",
    "InsecureFrontendValidationMode",
    "OverlappingTLSConfig",
    "Programmed",
    "Ready",
    "ResolvedRefs",
    "Scheduled",
    "SupportedVersion",
];
/// Longest message of a condition (`metav1.Condition`).
const MESSAGE: usize = 32_768;
/// Most entries of `status.ancestors`.
const ANCESTORS: usize = 16;

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Our `controllerName`.
    pub controller: &'a str,
    /// The time of transitions, RFC 3339.
    pub now: &'a str,
}

/// The status to write; none if the server's already says so. Without a status of ours, entries of ours are removed.
pub fn merge(kind: &Kind, writer: Writer<'_>, live: &Value, ours: Option<&ObjectStatus>) -> Option<Value> {
    if [Kind::GATEWAY, Kind::LISTENER_SET].contains(kind)
        && ours.is_some_and(|ours| ours.conditions.is_empty())
    {
        // Its class, or its Gateway, does not exist, so nobody can say whose it is.
        return None;
    }
    let mut status = live.as_object().cloned().unwrap_or_default();
    let entries = if [Kind::GATEWAY, Kind::GATEWAY_CLASS, Kind::LISTENER_SET].contains(kind) {
        None
    } else if *kind == Kind::BACKEND_TLS_POLICY {
        Some(("ancestors", "ancestorRef"))
    } else {
        Some(("parents", "parentRef"))
    };
    match (entries, ours) {
        (None, None) => return None,
        (None, Some(ours)) => whole(kind, writer, &mut status, ours),
        (Some((list, reference)), ours) => {
            let generation = ours.map_or(0, |ours| ours.observed_generation);
            let mine = ours.map_or(&[][..], |ours| match list {
                "ancestors" => &ours.ancestors[..],
                _ => &ours.parents[..],
            });
            let before = status.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
            let mut after = parents(writer, reference, generation, &before, mine);
            if list == "ancestors" {
                after.truncate(ANCESTORS);
            }
            if !after.is_empty() || status.contains_key(list) {
                status.insert(list.to_owned(), after.into());
            }
        }
    }
    let status = Value::Object(status);
    (status != *live && !(live.is_null() && status == json!({}))).then_some(status)
}

fn whole(kind: &Kind, writer: Writer<'_>, status: &mut Map<String, Value>, ours: &ObjectStatus) {
    let generation = ours.observed_generation;
    let live = status.get("conditions").cloned().unwrap_or_default();
    status.insert("conditions".into(), conditions(writer, generation, &live, &ours.conditions));
    if *kind == Kind::GATEWAY_CLASS {
        let feature = |name: &proto::ArcStr| json!({"name": name.as_str()});
        set(status, "supportedFeatures", ours.supported_features.iter().map(feature).collect());
        return;
    }
    if *kind == Kind::GATEWAY {
        set(status, "addresses", ours.addresses.iter().map(proto::GatewayAddress::shown).collect());
        if ours.attached_listener_sets > 0 || status.contains_key("attachedListenerSets") {
            status.insert("attachedListenerSets".to_owned(), ours.attached_listener_sets.into());
        }
    }
    let before = status.get("listeners").and_then(Value::as_array).cloned().unwrap_or_default();
    let listener = |one: &ListenerStatus| {
        let live = before.iter().find(|live| live["name"] == one.name.as_str());
        let mut shown = live.and_then(Value::as_object).cloned().unwrap_or_default();
        let live = shown.get("conditions").cloned().unwrap_or_default();
        shown.insert("name".into(), one.name.as_str().into());
        shown.insert("attachedRoutes".into(), one.attached_routes.into());
        shown.insert("supportedKinds".into(), one.supported_kinds.clone().into());
        shown.insert("conditions".into(), conditions(writer, generation, &live, &one.conditions));
        Value::Object(shown)
    };
    set(status, "listeners", ours.listeners.iter().map(listener).collect());
}

/// A list that is not there is as good as an empty one.
fn set(status: &mut Map<String, Value>, name: &str, list: Vec<Value>) {
    if list.is_empty() {
        status.remove(name);
    } else {
        status.insert(name.to_owned(), list.into());
    }
}

/// Our conditions beside those of types that are not ours.
fn conditions(writer: Writer<'_>, generation: i64, live: &Value, ours: &[Condition]) -> Value {
    let live = live.as_array().map(Vec::as_slice).unwrap_or_default();
    let kind = |one: &Value| one["type"].as_str().unwrap_or_default().to_owned();
    let mut merged: Vec<Value> = Vec::with_capacity(live.len().max(ours.len()));
    for one in live {
        match ours.iter().find(|condition| condition.kind == kind(one).as_str()) {
            Some(condition) => merged.push(shown(writer, generation, condition, Some(one))),
            None if OURS.contains(&kind(one).as_str()) => {}
            None => merged.push(one.clone()),
        }
    }
    let missing =
        ours.iter().filter(|condition| !live.iter().any(|one| kind(one) == condition.kind.as_str()));
    merged.extend(missing.map(|condition| shown(writer, generation, condition, None)));
    merged.into()
}

/// A condition as Kubernetes has it. Its transition time stays while its status does.
fn shown(writer: Writer<'_>, generation: i64, condition: &Condition, live: Option<&Value>) -> Value {
    let since = live
        .filter(|live| live["status"] == condition.status.as_str())
        .and_then(|live| live["lastTransitionTime"].as_str());
    let end = condition.message.floor_char_boundary(MESSAGE);
    json!({
        "type": condition.kind.as_str(),
        "status": condition.status.as_str(),
        "reason": condition.reason.as_str(),
        "message": &condition.message[..end],
        "observedGeneration": generation,
        "lastTransitionTime": since.unwrap_or(writer.now),
    })
}

/// Entries of others as they are and where they are, ours among them.
fn parents(
    writer: Writer<'_>,
    reference: &str,
    generation: i64,
    live: &[Value],
    ours: &[ParentStatus],
) -> Vec<Value> {
    let mut left: Vec<(Value, &ParentStatus)> =
        ours.iter().map(|one| (one.parent_ref.to_value(), one)).collect();
    let entry = |shown_ref: Value, one: &ParentStatus, live: &Value| {
        json!({
            reference: shown_ref,
            "controllerName": writer.controller,
            "conditions": conditions(writer, generation, &live["conditions"], &one.conditions),
        })
    };
    let mut merged = Vec::new();
    for one in live {
        if one["controllerName"] != writer.controller {
            merged.push(one.clone());
            continue;
        }
        let same = left.iter().position(|(parent, _)| is_same(parent, &one[reference]));
        if let Some(n) = same {
            let (_, status) = left.remove(n);
            merged.push(entry(one[reference].clone(), status, one));
        }
    }
    merged.extend(left.into_iter().map(|(parent, status)| entry(parent, status, &Value::Null)));
    merged
}

/// The API server fills in what a reference leaves out.
fn is_same(a: &Value, b: &Value) -> bool {
    let field = |of: &Value, name: &str, default: Option<&str>| {
        of.get(name).filter(|value| !value.is_null()).cloned().or_else(|| default.map(Value::from))
    };
    let defaults = [
        ("group", Some("gateway.networking.k8s.io")),
        ("kind", Some("Gateway")),
        ("namespace", None),
        ("name", None),
        ("sectionName", None),
        ("port", None),
    ];
    defaults.iter().all(|(name, default)| field(a, name, *default) == field(b, name, *default))
}

#[cfg(test)]
mod tests;
