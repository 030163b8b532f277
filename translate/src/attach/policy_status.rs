//! A BackendTLSPolicy's status: one entry for each Gateway that sends requests to its targets.

use std::collections::BTreeMap;

use proto::{Fault, JsonText, ObjectStatus, ParentStatus, Report, ResourceKey, literal};
use serde_json::json;

use super::backend::{self, Tls, TlsProblem};
use super::{fault, policy_target};
use crate::cx::{Cx, Output};
use crate::ir::{IndexKey, Value, Verdict};
use crate::model::BackendTlsPolicy;

pub(crate) fn compute(key: &ResourceKey, cx: &mut Cx<'_>) -> Output {
    let mut output = Output::of(Value::Absent);
    let Some(policy) = cx.object::<BackendTlsPolicy>(key) else { return output };
    let mut faults = Vec::new();
    let (accepted, resolved) = verdicts(key, &policy, cx, &mut faults);
    let Aims { gateways, nowhere } = aims(key, &policy, cx, &mut faults);
    let conditions = |missing: Option<Verdict>| {
        let accepted = missing.unwrap_or_else(|| accepted.clone());
        vec![accepted.condition(literal!("Accepted")), resolved.condition(literal!("ResolvedRefs"))]
    };
    let of_gateway = |(gateway, missing): (ResourceKey, Option<Verdict>)| ParentStatus {
        parent_ref: JsonText::of(&json!({
            "group": gateway.kind.group(),
            "kind": gateway.kind.kind(),
            "namespace": gateway.namespace.as_str(),
            "name": gateway.name.as_str(),
        })),
        gateway: Some(gateway),
        conditions: conditions(missing),
    };
    let of_target = |(target, missing): (JsonText, Verdict)| ParentStatus {
        parent_ref: target,
        gateway: None,
        conditions: conditions(Some(missing)),
    };
    let ancestors = gateways.into_iter().map(of_gateway).chain(nowhere.into_iter().map(of_target)).collect();
    let status = ObjectStatus {
        observed_generation: cx.generation(key),
        ancestors,
        faults,
        ..ObjectStatus::default()
    };
    output.report = Some(Box::new(Report { key: key.clone(), status: Some(status) }));
    output
}

/// Where a policy has effect, or should.
#[derive(Default)]
struct Aims {
    /// Gateways that send requests to its targets; with a verdict where a target is not there.
    gateways: BTreeMap<ResourceKey, Option<Verdict>>,
    /// Targets that are not there and get requests of no Gateway: they stand for themselves.
    nowhere: Vec<(JsonText, Verdict)>,
}

fn aims(key: &ResourceKey, policy: &BackendTlsPolicy, cx: &mut Cx<'_>, faults: &mut Vec<Fault>) -> Aims {
    let mut aims = Aims::default();
    for (index, target) in policy.spec.target_refs.iter().enumerate() {
        let missing = policy_target::missing(key, index, target, cx).map(|fault| {
            let verdict = Verdict::no(literal!("TargetNotFound"), super::sentence(&fault));
            faults.push(fault);
            verdict
        });
        let service = policy_target::service(key, target);
        let gateways: Vec<ResourceKey> =
            service.map(|key| cx.members(IndexKey::GatewaysOf(key)).cloned().collect()).unwrap_or_default();
        if let Some(verdict) = missing.clone().filter(|_| gateways.is_empty()) {
            let reference = json!({
                "group": target.group.as_str(),
                "kind": target.kind.as_str(),
                "namespace": key.namespace.as_str(),
                "name": target.name.as_str(),
            });
            aims.nowhere.push((JsonText::of(&reference), verdict));
        }
        for gateway in gateways {
            let known = aims.gateways.entry(gateway).or_default();
            *known = known.take().or_else(|| missing.clone());
        }
    }
    aims
}

fn verdicts(
    key: &ResourceKey,
    policy: &BackendTlsPolicy,
    cx: &mut Cx<'_>,
    faults: &mut Vec<Fault>,
) -> (Verdict, Verdict) {
    let resolved = Verdict::yes(literal!("ResolvedRefs"), literal!("all references resolve"));
    let resolved = match backend::tls(cx, key) {
        Ok(Tls { unresolved: None, .. }) => resolved,
        Ok(Tls { unresolved: Some((reason, fault)), .. }) => {
            let message = super::sentence(&fault);
            faults.push(fault);
            Verdict::no(reason, message)
        }
        Err(TlsProblem { accepted, unresolved, fault }) => {
            let message = super::sentence(&fault);
            faults.push(fault);
            let resolved = unresolved.map_or(resolved, |reason| Verdict::no(reason, message.clone()));
            return (Verdict::no(accepted, message), resolved);
        }
    };
    match conflict(key, policy, cx) {
        None => (Verdict::yes(literal!("Accepted"), literal!("the policy is in force")), resolved),
        Some(message) => {
            let fault = fault(key, "spec.targetRefs", message, "remove one of the two policies");
            let accepted = Verdict::no(literal!("Conflicted"), super::sentence(&fault));
            faults.push(fault);
            (accepted, resolved)
        }
    }
}

/// An older policy with the same target wins (GEP-713).
fn conflict(key: &ResourceKey, policy: &BackendTlsPolicy, cx: &mut Cx<'_>) -> Option<String> {
    let mut message = None;
    for target in &policy.spec.target_refs {
        let service = key.sibling(proto::Kind::SERVICE, key.namespace.clone(), target.name.clone());
        let others: Vec<_> =
            cx.members(IndexKey::PoliciesOf(service)).filter(|other| *other != key).collect();
        for other_key in others {
            let Some(other) = cx.object::<BackendTlsPolicy>(other_key) else { continue };
            let rank = |key: &ResourceKey, policy: &BackendTlsPolicy| {
                (policy.metadata.creation_timestamp.clone(), key.clone())
            };
            if other.spec.target_refs.contains(target) && rank(other_key, &other) < rank(key, policy) {
                message.get_or_insert_with(|| {
                    format!("policy {} is older and has the same target", other_key.namespaced_name())
                });
            }
        }
    }
    message
}
