//! Statuses in the form that Kubernetes shows them.

use proto::{Condition, Kind, ObjectStatus, ResourceKey};
use serde_json::{Map, Value, json};

use super::transitions::{Place, Transitions};
use crate::time::rfc3339;

/// `{apiVersion, kind, metadata, status}`; without `times` no condition has a lastTransitionTime.
pub(crate) fn object(
    key: &ResourceKey,
    status: &ObjectStatus,
    controller: &str,
    times: Option<&Transitions>,
) -> Value {
    let generation = status.observed_generation;
    let mut metadata = json!({"name": key.name.as_str(), "generation": generation});
    if !key.namespace.is_empty() {
        metadata["namespace"] = key.namespace.as_str().into();
    }
    json!({
        "apiVersion": api_version(&key.kind),
        "kind": key.kind.kind(),
        "metadata": metadata,
        "status": View { controller, generation, times }.status(&key.kind, status),
    })
}

/// Group and version as users write it.
pub(crate) fn api_version(kind: &Kind) -> String {
    let version = if *kind == Kind::REFERENCE_GRANT { "v1beta1" } else { "v1" };
    match kind.group() {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    }
}

struct View<'a> {
    controller: &'a str,
    generation: i64,
    times: Option<&'a Transitions>,
}

impl View<'_> {
    fn status(&self, kind: &Kind, status: &ObjectStatus) -> Value {
        let mut shown = Map::new();
        if !status.addresses.is_empty() {
            let addresses = status.addresses.iter().map(proto::GatewayAddress::shown);
            shown.insert("addresses".into(), addresses.collect());
        }
        if !status.conditions.is_empty() {
            shown.insert("conditions".into(), self.conditions(Place::Object, &status.conditions));
        }
        if status.attached_listener_sets > 0 {
            shown.insert("attachedListenerSets".into(), status.attached_listener_sets.into());
        }
        if *kind == Kind::GATEWAY || *kind == Kind::LISTENER_SET {
            shown.insert("listeners".into(), status.listeners.iter().map(|l| self.listener(l)).collect());
        }
        for (name, reference, entries) in
            [("parents", "parentRef", &status.parents), ("ancestors", "ancestorRef", &status.ancestors)]
        {
            if !entries.is_empty() {
                shown
                    .insert(name.into(), entries.iter().map(|entry| self.parent(reference, entry)).collect());
            }
        }
        if !status.supported_features.is_empty() {
            let feature = |name: &proto::ArcStr| json!({"name": name.as_str()});
            shown.insert("supportedFeatures".into(), status.supported_features.iter().map(feature).collect());
        }
        Value::Object(shown)
    }

    fn listener(&self, listener: &proto::report::ListenerStatus) -> Value {
        json!({
            "name": listener.name.as_str(),
            "attachedRoutes": listener.attached_routes,
            "supportedKinds": listener.supported_kinds,
            "conditions": self.conditions(Place::Listener(&listener.name), &listener.conditions),
        })
    }

    fn parent(&self, reference: &str, parent: &proto::report::ParentStatus) -> Value {
        json!({
            reference: parent.parent_ref.to_value(),
            "controllerName": self.controller,
            "conditions": self.conditions(Place::Parent(&parent.parent_ref), &parent.conditions),
        })
    }

    fn conditions(&self, place: Place<'_>, conditions: &[Condition]) -> Value {
        let condition = |condition: &Condition| {
            let mut shown = json!({
                "type": condition.kind.as_str(),
                "status": condition.status.as_str(),
                "reason": condition.reason.as_str(),
                "message": condition.message.as_str(),
                "observedGeneration": self.generation,
            });
            if let Some(times) = self.times {
                shown["lastTransitionTime"] = rfc3339(times.since(place, &condition.kind)).into();
            }
            shown
        };
        conditions.iter().map(condition).collect()
    }
}

#[cfg(test)]
mod tests {
    use proto::{Condition, Kind, ObjectStatus, ResourceKey};
    use serde_json::json;

    use super::super::transitions::Transitions;

    #[test]
    fn a_gateway_class_looks_as_in_kubernetes() {
        let status = ObjectStatus {
            observed_generation: 2,
            conditions: vec![Condition::new("Accepted", true, "Accepted", "ours")],
            ..ObjectStatus::default()
        };
        let mut times = Transitions::default();
        times.update(&status, 1_000_000_000);
        let key = ResourceKey::local(Kind::GATEWAY_CLASS, "", "fleetgate");
        assert_eq!(
            super::object(&key, &status, "c", Some(&times)),
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "GatewayClass",
                "metadata": {"name": "fleetgate", "generation": 2},
                "status": {"conditions": [{
                    "type": "Accepted", "status": "True", "reason": "Accepted", "message": "ours",
                    "observedGeneration": 2, "lastTransitionTime": "1970-01-01T00:00:01Z",
                }]},
            })
        );
    }
}
