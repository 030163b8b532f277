//! GatewayParameters of k8sgateway 1.18: how the proxies of a Gateway are deployed.

use serde::Deserialize;
use serde_json::{Map, Value};

/// `gateway.gloo.solo.io/v1alpha1`; its fields are read by whoever deploys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct GatewayParameters {
    #[serde(default)]
    pub(crate) spec: GatewayParametersSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GatewayParametersSpec {
    pub(crate) kube: Option<Map<String, Value>>,
    pub(crate) self_managed: Option<Map<String, Value>>,
}

/// Lists in which the upper one replaces the lower instead of following it.
const REPLACED: [&str; 2] = ["command", "customSidecars"];

/// Merges `upper` over `lower`: maps by key, lists one after the other (an empty one clears), all else replaced.
pub(crate) fn merge(lower: &mut Map<String, Value>, upper: &Map<String, Value>) {
    for (key, value) in upper {
        match (lower.get_mut(key), value) {
            (Some(Value::Object(lower)), Value::Object(upper)) => merge(lower, upper),
            (Some(Value::Array(lower)), Value::Array(upper))
                if !upper.is_empty() && !REPLACED.contains(&key.as_str()) =>
            {
                lower.extend(upper.iter().cloned());
            }
            (_, Value::Null) => {}
            _ => drop(lower.insert(key.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn merged(lower: Value, upper: Value) -> Value {
        let (Value::Object(mut lower), Value::Object(upper)) = (lower, upper) else { panic!("no maps") };
        super::merge(&mut lower, &upper);
        Value::Object(lower)
    }

    #[test]
    fn the_upper_one_is_merged_over_the_lower() {
        let lower = json!({
            "deployment": {"replicas": 2},
            "podTemplate": {"extraLabels": {"a": "1", "b": "1"}, "tolerations": [{"key": "x"}],
                            "imagePullSecrets": [{"name": "s"}],
                            "livenessProbe": {"exec": {"command": ["a", "b"]}, "periodSeconds": 5}},
        });
        let upper = json!({
            "deployment": {"replicas": 3},
            "podTemplate": {"extraLabels": {"b": "2"}, "tolerations": [{"key": "y"}], "imagePullSecrets": [],
                            "livenessProbe": {"exec": {"command": ["c"]}}, "affinity": null},
        });
        assert_eq!(
            merged(lower, upper),
            json!({
                "deployment": {"replicas": 3},
                "podTemplate": {"extraLabels": {"a": "1", "b": "2"}, "tolerations": [{"key": "x"}, {"key": "y"}],
                                "imagePullSecrets": [],
                                "livenessProbe": {"exec": {"command": ["c"]}, "periodSeconds": 5}},
            })
        );
    }
}
