//! What a BackendTLSPolicy aims at: a Service, or one of its ports by name.

use proto::{Fault, Kind, ResourceKey};

use super::fault;
use crate::cx::Cx;
use crate::model::{Service, ServicePort, TargetRef};

/// The Service that a target names; none if it is of another kind.
pub(crate) fn service(policy: &ResourceKey, target: &TargetRef) -> Option<ResourceKey> {
    target
        .is_service(&target.name)
        .then(|| policy.sibling(Kind::SERVICE, policy.namespace.clone(), target.name.clone()))
}

/// What is wrong with a target that is not there (reason `TargetNotFound`).
pub(crate) fn missing(
    policy: &ResourceKey,
    index: usize,
    target: &TargetRef,
    cx: &mut Cx<'_>,
) -> Option<Fault> {
    let field = format!("spec.targetRefs[{index}]");
    let Some(key) = service(policy, target) else {
        let problem = format!("{} {} is no Service", target.kind, target.name);
        return Some(fault(policy, field, problem, "target a Service: group \"\", kind Service"));
    };
    let Some(found) = cx.object::<Service>(&key) else {
        let problem = format!("Service {} does not exist", key.namespaced_name());
        return Some(fault(policy, field, problem, "create it or correct the reference"));
    };
    let section = target.section_name.as_ref().filter(|_| is_beside(target, &found))?;
    let names: Vec<&str> = ports(&found).map(|port| port.name.as_str()).filter(|n| !n.is_empty()).collect();
    let remedy = match names.is_empty() {
        true => "remove sectionName: the ports of the Service have no names".to_owned(),
        false => format!("use one of {}, or remove it for all ports", names.join(", ")),
    };
    let problem = format!("Service {} has no port named {section}", key.namespaced_name());
    Some(fault(policy, format!("{field}.sectionName"), problem, remedy))
}

/// True if a target is a port of its Service that is not there. Nobody knows which one is meant, so none of those that
/// no other policy is for may be spoken to in plain text.
pub(crate) fn is_beside(target: &TargetRef, service: &Service) -> bool {
    let section = target.section_name.as_ref();
    section.is_some_and(|section| !ports(service).any(|port| port.name == *section))
}

fn ports(service: &Service) -> impl Iterator<Item = &ServicePort> {
    service.spec.ports.iter().filter(|port| port.is_tcp())
}
