//! Who runs a Gateway's proxies, and what of: GatewayParameters, `spec.infrastructure`, ports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::{
    ArcStr, AskedAddress, Fault, JsonText, Kind, Proxies, ProxyPort, ProxySpec, ResourceKey, container_ports,
    literal,
};
use serde_json::{Map, Value};

use super::parameters::{Merged, check};
use super::{fault, sentence};
use crate::cx::Cx;
use crate::ir::{ListenerIr, Verdict};
use crate::model::{Gateway, GatewayParameters, Reference, merge_parameters};

/// Names the GatewayParameters of a Gateway, as k8sgateway 1.18 has it.
const ANNOTATION: &str = "gateway.gloo.solo.io/gateway-parameters-name";

/// What GatewayParameters say, all of a Gateway merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parameters {
    SelfManaged,
    Managed(Option<Map<String, Value>>),
}

/// The key of GatewayParameters that are referred to, if they are there.
pub(crate) fn referent(
    from: &ResourceKey,
    field: &str,
    reference: &Reference,
    namespace: &ArcStr,
    cx: &mut Cx<'_>,
) -> Result<ResourceKey, Fault> {
    let kind = reference.kind_or("", "");
    if kind != Kind::GATEWAY_PARAMETERS {
        let problem = format!("{} is of kind {kind}, which is not read", reference.name);
        let remedy = "refer to kind GatewayParameters of group gateway.gloo.solo.io, or remove the reference";
        return Err(fault(from, field, problem, remedy));
    }
    let key = from.sibling(kind, namespace.clone(), reference.name.clone());
    if cx.object::<GatewayParameters>(&key).is_none() {
        let problem =
            format!("GatewayParameters {} does not exist, or cannot be read", key.namespaced_name());
        return Err(fault(from, field, problem, "create it, correct it, or remove the reference"));
    }
    Ok(key)
}

/// The parameters of a Gateway: its own over those of its class. Faults that refuse nothing go to `faults`.
pub(crate) fn parameters(
    key: &ResourceKey,
    gateway: &Gateway,
    class: Option<&ResourceKey>,
    cx: &mut Cx<'_>,
    faults: &mut Vec<Fault>,
) -> Result<Parameters, Fault> {
    let mut own = None;
    let reference = gateway.spec.infrastructure.as_ref().and_then(|own| own.parameters_ref.as_ref());
    if let Some(reference) = reference {
        own = Some(referent(key, "spec.infrastructure.parametersRef", reference, &key.namespace, cx)?);
    } else if let Some(name) = gateway.metadata.annotations.get(ANNOTATION) {
        let reference = Reference::of(&Kind::GATEWAY_PARAMETERS, name);
        let field = format!("metadata.annotations[\"{ANNOTATION}\"]");
        own = Some(referent(key, &field, &reference, &key.namespace, cx)?);
    }
    let layers: Vec<_> = [class, own.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(|key| Some((key, cx.object::<GatewayParameters>(key)?)))
        .collect();
    // What is below a self-managed layer is not there.
    let managed = layers.iter().rposition(|(_, layer)| layer.spec.self_managed.is_some());
    let layers = &layers[managed.map_or(0, |self_managed| self_managed + 1)..];
    let layers: Vec<_> =
        layers.iter().filter_map(|(key, layer)| Some((*key, layer.spec.kube.as_ref()?))).collect();
    if layers.is_empty() {
        return Ok(if managed.is_some() { Parameters::SelfManaged } else { Parameters::Managed(None) });
    }
    let mut kube = Map::new();
    for (_, layer) in &layers {
        merge_parameters(&mut kube, layer);
    }
    faults.extend(check(&Merged { gateway: key, kube: &kube, layers: &layers })?);
    Ok(Parameters::Managed(Some(kube)))
}

/// What the proxies of an accepted Gateway need.
pub(crate) fn spec(
    gateway: &Gateway,
    parameters: Parameters,
    listeners: &[ListenerIr],
    ports: &BTreeMap<u16, u16>,
    (addresses, tells_routability): (Vec<AskedAddress>, bool),
) -> Proxies {
    let Parameters::Managed(parameters) = parameters else { return Proxies::SelfManaged };
    let names = names(listeners);
    let port = |(port, target): (&u16, &u16)| {
        names.get(port).map(|name| ProxyPort { name: name.clone(), port: *port, target: *target })
    };
    let infrastructure = gateway.spec.infrastructure.clone().unwrap_or_default();
    Proxies::Managed(Arc::new(ProxySpec {
        ports: ports.iter().filter_map(port).collect(),
        labels: infrastructure.labels,
        annotations: infrastructure.annotations,
        addresses,
        tells_routability,
        parameters: JsonText::of(&parameters),
    }))
}

/// A name for each port: that of its first listener. Of ListenerSets, several may have listeners of one name; then
/// the Gateway's own keeps it.
fn names(listeners: &[ListenerIr]) -> BTreeMap<u16, ArcStr> {
    let mut names = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for listener in listeners.iter().filter(|listener| listener.scheme.is_some()) {
        if names.contains_key(&listener.port) {
            continue;
        }
        let mut name = listener.name.to_string();
        // Names of a Service's ports have no dots.
        while !taken.insert(name.replace('.', "-")) {
            name = format!("{name}-{}", listener.port);
        }
        names.insert(listener.port, name.into());
    }
    names
}

/// The port that a pod binds for each port of its Gateway. Also of listeners that are not accepted at the moment: the
/// others keep theirs.
pub(crate) fn ports(listeners: &[ListenerIr]) -> BTreeMap<u16, u16> {
    container_ports(listeners.iter().filter(|l| l.scheme.is_some()).map(|listener| listener.port))
}

/// Why parameters are refused.
pub(crate) fn refusal(fault: &Fault) -> Verdict {
    Verdict::no(literal!("InvalidParameters"), sentence(fault))
}
