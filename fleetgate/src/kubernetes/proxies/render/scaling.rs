//! Where they are asked for: a HorizontalPodAutoscaler and a PodDisruptionBudget.

use serde_json::{Map, Value, json};

use super::Ingredients;
use crate::kubernetes::proxies::names;
use crate::kubernetes::proxies::owned::What;

pub(super) fn autoscaler(from: &Ingredients<'_>) -> Option<Value> {
    let given = from.parameters.horizontal_pod_autoscaler.as_ref()?;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": names::proxy(from.gateway)});
    Some(with_spec(from, What::HorizontalPodAutoscaler, given, "scaleTargetRef", target))
}

pub(super) fn budget(from: &Ingredients<'_>) -> Option<Value> {
    let given = from.parameters.pod_disruption_budget.as_ref()?;
    let selector = json!({"matchLabels": names::selector(from.gateway)});
    Some(with_spec(from, What::PodDisruptionBudget, given, "selector", selector))
}

fn with_spec(
    from: &Ingredients<'_>,
    what: What,
    given: &Map<String, Value>,
    field: &str,
    value: Value,
) -> Value {
    let mut object = from.plain(what);
    let mut spec = given.clone();
    spec.insert(field.to_owned(), value);
    object["spec"] = spec.into();
    object
}
