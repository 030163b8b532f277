//! A Gateway's status: conditions, and counts of attached routes.

use proto::{
    ArcStr, Condition, GatewayAddress, Kind, ListenerStatus, ObjectStatus, Proxies, Report, ResourceKey,
    literal,
};

use super::fault;
use crate::cx::{Cx, Output};
use crate::ir::{GatewayIr, IndexKey, ListenerIr, NodeKey, Value, Verdict};
use crate::model::Gateway;

pub(crate) fn compute(key: &ResourceKey, cx: &mut Cx<'_>) -> Output {
    let mut output = Output::of(Value::Absent);
    let status = match cx.node(NodeKey::Gateway(key.clone())) {
        Some(Value::Gateway(ir)) => Some(status(key, ir, cx)),
        _ => without_class(key, cx),
    };
    output.report = status.map(|mut status| {
        status.observed_generation = cx.generation(key);
        Box::new(Report { key: key.clone(), status: Some(status) })
    });
    output
}

/// A Gateway of another controller is none of our business; one whose class is nowhere is a mistake that
/// nobody else would tell.
fn without_class(key: &ResourceKey, cx: &mut Cx<'_>) -> Option<ObjectStatus> {
    let gateway = cx.object::<Gateway>(key)?;
    let class = key.sibling(Kind::GATEWAY_CLASS, "", gateway.spec.gateway_class_name.clone());
    if cx.exists(&class) {
        return None;
    }
    let fault = fault(
        key,
        "spec.gatewayClassName",
        format!("GatewayClass {} does not exist", gateway.spec.gateway_class_name),
        format!("create it with controllerName {}", cx.env().controller_name),
    );
    Some(ObjectStatus { faults: vec![fault], ..ObjectStatus::default() })
}

fn attached_sets(ir: &GatewayIr) -> i32 {
    i32::try_from(ir.sets.iter().filter(|set| set.accepted.holds).count()).unwrap_or(i32::MAX)
}

/// An address that stands for all of a machine's leads nowhere from elsewhere.
fn reachable(addresses: &[GatewayAddress]) -> Vec<GatewayAddress> {
    addresses.iter().filter(|address| !["0.0.0.0", "::"].contains(&address.value.as_str())).cloned().collect()
}

fn status(key: &ResourceKey, ir: &GatewayIr, cx: &mut Cx<'_>) -> ObjectStatus {
    let listeners: Vec<ListenerStatus> =
        ir.of(key).map(|listener| listener_status(listener, ir, cx)).collect();
    let serving = ir.listeners.iter().any(|listener| listener.table.is_some());
    let programmed = if ir.accepted.holds && (serving || ir.listeners.iter().any(|l| l.accepted.holds)) {
        Verdict::yes(literal!("Programmed"), literal!("an Envoy has the configuration"))
    } else {
        Verdict::no(literal!("Invalid"), ir.accepted.message.clone())
    };
    let mut conditions =
        vec![ir.accepted.condition(literal!("Accepted")), programmed.condition(literal!("Programmed"))];
    conditions.extend(ir.conditions.iter().cloned());
    ObjectStatus {
        conditions,
        listeners,
        // Those of managed proxies are known to whoever deploys them.
        addresses: match ir.proxies {
            Some(Proxies::Managed(_)) => Vec::new(),
            _ if !ir.accepted.holds => Vec::new(),
            _ => reachable(&ir.addresses),
        },
        attached_listener_sets: attached_sets(ir),
        proxies: ir.proxies.clone(),
        faults: ir.faults.clone(),
        ..ObjectStatus::default()
    }
}

pub(crate) fn listener_status(listener: &ListenerIr, gateway: &GatewayIr, cx: &mut Cx<'_>) -> ListenerStatus {
    let attached = cx.count(IndexKey::AttachedTo(listener.owner.clone(), listener.name.clone()));
    let programmed = if listener.table.is_some() && gateway.accepted.holds && !listener.keyless {
        Verdict::yes(literal!("Programmed"), literal!("an Envoy has the configuration"))
    } else {
        let because = [&listener.accepted, &listener.resolved].into_iter().find(|verdict| !verdict.holds);
        let message =
            because.map_or(literal!("the Gateway is not accepted"), |verdict| verdict.message.clone());
        let conflict = Some(&listener.conflicted).filter(|conflicted| conflicted.holds);
        Verdict::no(conflict.map_or(literal!("Invalid"), |conflict| conflict.reason.clone()), message)
    };
    let mut conditions: Vec<Condition> = vec![
        listener.accepted.condition(literal!("Accepted")),
        programmed.condition(literal!("Programmed")),
        listener.resolved.condition(literal!("ResolvedRefs")),
        listener.conflicted.condition(literal!("Conflicted")),
    ];
    if let Some(overlapping) = &listener.overlapping {
        conditions.push(overlapping.condition(literal!("OverlappingTLSConfig")));
    }
    let kind = |kind: &Kind| serde_json::json!({"group": kind.group(), "kind": kind.kind()});
    ListenerStatus {
        name: ArcStr::clone(&listener.name),
        resource: crate::ir::names::listener(listener.port).into(),
        attached_routes: i32::try_from(attached).unwrap_or(i32::MAX),
        supported_kinds: listener.supported_kinds.iter().map(kind).collect(),
        conditions,
    }
}
