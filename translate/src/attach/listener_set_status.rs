//! A ListenerSet's status.

use proto::{Condition, Kind, ObjectStatus, Report, ResourceKey, literal};

use super::{fault, gateway_status, listener_set, sentence};
use crate::cx::{Cx, Output};
use crate::ir::{AttachedSet, GatewayIr, NodeKey, Value, Verdict};

pub(crate) fn compute(key: &ResourceKey, cx: &mut Cx<'_>) -> Output {
    let mut output = Output::of(Value::Absent);
    let Some(gateway) = listener_set::gateway_of(key, cx) else { return output };
    let status = match cx.node(NodeKey::Gateway(gateway.clone())) {
        Some(Value::Gateway(ir)) => {
            let status = match ir.sets.iter().find(|set| set.key == *key) {
                Some(set) => attached(set, ir, cx),
                None => not_allowed(key, &gateway),
            };
            ObjectStatus { gateway: Some(gateway), ..status }
        }
        // Of another controller, or nowhere: a mistake that nobody else would tell.
        _ if cx.exists(&gateway) => return output,
        _ => {
            let problem = format!("{} {} does not exist", Kind::GATEWAY.kind(), gateway.namespaced_name());
            let fault = fault(key, "spec.parentRef", problem, "create it or correct the reference");
            ObjectStatus { faults: vec![fault], ..ObjectStatus::default() }
        }
    };
    let status = ObjectStatus { observed_generation: cx.generation(key), ..status };
    output.report = Some(Box::new(Report { key: key.clone(), status: Some(status) }));
    output
}

fn attached(set: &AttachedSet, ir: &GatewayIr, cx: &mut Cx<'_>) -> ObjectStatus {
    let programmed = match &set.accepted {
        accepted if accepted.holds => {
            Verdict::yes(literal!("Programmed"), literal!("an Envoy has the configuration"))
        }
        refused if refused.reason == "ParentNotAccepted" => {
            Verdict::no(literal!("ParentNotProgrammed"), refused.message.clone())
        }
        refused => refused.clone(),
    };
    let listeners = ir.of(&set.key).map(|listener| gateway_status::listener_status(listener, ir, cx));
    ObjectStatus {
        listeners: listeners.collect(),
        conditions: conditions(&set.accepted, &programmed),
        faults: set.faults.clone(),
        ..ObjectStatus::default()
    }
}

fn not_allowed(key: &ResourceKey, gateway: &ResourceKey) -> ObjectStatus {
    let problem =
        format!("Gateway {} does not allow ListenerSets of this namespace", gateway.namespaced_name());
    let fault = fault(key, "spec.parentRef", problem, "let its spec.allowedListeners allow them");
    let refused = Verdict::no(literal!("NotAllowed"), sentence(&fault));
    ObjectStatus {
        conditions: conditions(&refused, &refused),
        faults: vec![fault],
        ..ObjectStatus::default()
    }
}

fn conditions(accepted: &Verdict, programmed: &Verdict) -> Vec<Condition> {
    vec![accepted.condition(literal!("Accepted")), programmed.condition(literal!("Programmed"))]
}
