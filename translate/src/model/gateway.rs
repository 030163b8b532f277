//! GatewayClass and Gateway.

use std::collections::BTreeMap;

use proto::{ArcStr, Name, Routability};
use serde::Deserialize;

use super::Reference;
use super::gateway_tls::GatewayTls;
use super::listener_filters::ListenerFilters;

/// <https://gateway-api.sigs.k8s.io/api-types/gatewayclass/>
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct GatewayClass {
    #[serde(default)]
    metadata: Annotated,
    pub(crate) spec: GatewayClassSpec,
}

impl GatewayClass {
    /// True if it does not exist any more.
    pub(crate) fn is_kept(&self) -> bool {
        self.metadata.annotations.get(crate::KEPT_CLASS).is_some_and(|value| value == "true")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GatewayClassSpec {
    pub(crate) controller_name: ArcStr,
    #[serde(default)]
    #[allow(dead_code)]
    pub(crate) description: ArcStr,
    pub(crate) parameters_ref: Option<Reference>,
}

/// <https://gateway-api.sigs.k8s.io/api-types/gateway/>
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Gateway {
    #[serde(default)]
    pub(crate) metadata: Annotated,
    pub(crate) spec: GatewaySpec,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GatewaySpec {
    pub(crate) gateway_class_name: Name,
    pub(crate) listeners: Vec<Listener>,
    #[serde(default)]
    pub(crate) addresses: Vec<Address>,
    pub(crate) infrastructure: Option<Infrastructure>,
    /// None: no ListenerSet may attach.
    pub(crate) allowed_listeners: Option<AllowedListeners>,
    pub(crate) tls: Option<GatewayTls>,
    /// Of the experimental channel; default Gateways are not supported.
    pub(crate) default_scope: Option<ArcStr>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Infrastructure {
    pub(crate) parameters_ref: Option<Reference>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<ArcStr, ArcStr>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<ArcStr, ArcStr>,
}

/// The part of a Gateway's `metadata` that is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Annotated {
    pub(crate) annotations: BTreeMap<ArcStr, ArcStr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Address {
    /// Default: `IPAddress`.
    #[serde(rename = "type")]
    pub(crate) kind: Option<ArcStr>,
    /// None: assign one.
    pub(crate) value: Option<ArcStr>,
    /// From where it is to be reached.
    #[serde(default)]
    pub(crate) routability: Routability,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listener {
    pub(crate) name: ArcStr,
    pub(crate) port: u16,
    pub(crate) protocol: ArcStr,
    pub(crate) hostname: Option<ArcStr>,
    pub(crate) tls: Option<ListenerTls>,
    #[serde(default)]
    pub(crate) allowed_routes: AllowedRoutes,
    /// What is done with requests before a route is chosen.
    #[serde(default)]
    pub(crate) filters: ListenerFilters,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListenerTls {
    /// `Terminate` (default) or `Passthrough`.
    pub(crate) mode: Option<ArcStr>,
    #[serde(default)]
    pub(crate) certificate_refs: Vec<Reference>,
    #[serde(default)]
    #[allow(dead_code)]
    options: BTreeMap<ArcStr, ArcStr>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct AllowedRoutes {
    pub(crate) namespaces: RouteNamespaces,
    pub(crate) kinds: Option<Vec<RouteGroupKind>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct RouteNamespaces {
    /// `Same`, `All`, `Selector` or `None`; the default is `Same` for routes, `None` for ListenerSets.
    pub(crate) from: Option<ArcStr>,
    pub(crate) selector: Option<LabelSelector>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct RouteGroupKind {
    pub(crate) group: Option<ArcStr>,
    pub(crate) kind: ArcStr,
}

/// Whose ListenerSets may attach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct AllowedListeners {
    pub(crate) namespaces: RouteNamespaces,
}

/// A label selector as Kubernetes has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LabelSelector {
    match_labels: BTreeMap<ArcStr, ArcStr>,
    match_expressions: Vec<LabelExpression>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct LabelExpression {
    key: ArcStr,
    operator: ArcStr,
    #[serde(default)]
    values: Vec<ArcStr>,
}

impl LabelSelector {
    /// True if the labels are selected. An unknown operator selects nothing.
    pub(crate) fn selects(&self, labels: &BTreeMap<ArcStr, ArcStr>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|expression| {
                let value = labels.get(&expression.key);
                let listed = value.is_some_and(|value| expression.values.contains(value));
                match expression.operator.as_str() {
                    "In" => listed,
                    "NotIn" => !listed,
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => false,
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::LabelSelector;

    #[test]
    fn selectors_select_as_kubernetes_does() {
        let labels = [("team".into(), "a".into()), ("env".into(), "prod".into())].into();
        let selects = |json: &str| serde_json::from_str::<LabelSelector>(json).unwrap().selects(&labels);
        assert!(selects("{}"));
        assert!(selects(r#"{"matchLabels": {"team": "a"}}"#));
        assert!(!selects(r#"{"matchLabels": {"team": "b"}}"#));
        assert!(selects(r#"{"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod"]}]}"#));
        assert!(!selects(
            r#"{"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]}"#
        ));
        assert!(selects(r#"{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["x"]}]}"#));
        assert!(selects(r#"{"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}"#));
        assert!(!selects(r#"{"matchExpressions": [{"key": "env", "operator": "Like"}]}"#));
    }
}
