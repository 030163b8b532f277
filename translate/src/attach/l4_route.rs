//! A TLSRoute or TCPRoute: where it attaches, where its connections go, and its status. Listeners are made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::{Fault, Kind, ObjectStatus, ResourceKey};

use super::health::{Health, invalid, with_report};
use super::parent::{self, Attempt};
use super::{Problem, RuleCx, fault, rule};
use crate::cx::{Cx, Output};
use crate::ir::{ClusterKey, IndexKey, L4Backend, L4RouteIr, NodeKey, UpstreamProtocol, Value};
use crate::model::{TcpRoute, TlsRoute, TlsSpec};

/// What of the rule is reached by one protocol.
#[derive(Default)]
struct Reached {
    backends: Vec<L4Backend>,
    clusters: BTreeSet<ClusterKey>,
    problems: Vec<Problem>,
}

pub(crate) fn compute(key: &ResourceKey, cx: &mut Cx<'_>) -> Output {
    let mut output = Output::of(Value::Absent);
    let route = match decode(key, cx) {
        Some(Ok(route)) => route,
        Some(Err(fault)) => return with_report(output, key, invalid(fault), cx),
        None => return output,
    };
    let mut faults = Vec::new();
    let spec = &route.spec;
    let attempts = parent::attempts(key, &spec.parent_refs, &spec.hostnames, cx, &mut faults);
    faults.extend(parent::default_gateways(key, spec.use_default_gateways.as_deref()));
    check_rules(key, &route, &mut faults);

    let mut modes: BTreeMap<bool, Reached> = attempts
        .iter()
        .flat_map(|attempt| &attempt.attachments)
        .map(|attachment| (attachment.passthrough, Reached::default()))
        .collect();
    if modes.is_empty() {
        // For the references to be checked.
        modes.insert(false, Reached::default());
    }
    let own: BTreeSet<&ResourceKey> = attempts.iter().map(|attempt| &attempt.gateway).collect();
    for (passthrough, reached) in &mut modes {
        *reached = reach(key, &route, *passthrough, &own, cx);
    }
    let problems = modes.values().next().map(|reached| reached.problems.clone()).unwrap_or_default();
    faults.extend(problems.iter().map(|problem| problem.fault().clone()));
    let health = Health::of(&problems, 0, 1);
    for attempt in &attempts {
        contribute(&mut output, attempt, &modes);
        if health.accepts() {
            output.entries.extend(attempt.attached(key));
        }
    }
    let mut backends =
        |passthrough| modes.remove(&passthrough).map(|reached| reached.backends).unwrap_or_default();
    let parents = attempts.iter().map(|attempt| health.parent_status(attempt)).collect();
    output.value = Value::L4Route(Arc::new(L4RouteIr {
        created: route.metadata.creation_timestamp.clone(),
        terminated: backends(false),
        passed: backends(true),
        attachments: attempts.into_iter().flat_map(|attempt| attempt.attachments).collect(),
    }));
    with_report(output, key, ObjectStatus { parents, faults, ..ObjectStatus::default() }, cx)
}

/// True of the kinds that are routes of connections.
pub(crate) fn takes(kind: &Kind) -> bool {
    *kind == Kind::TLS_ROUTE || *kind == Kind::TCP_ROUTE
}

/// The route in the form that both kinds are served in: a TCPRoute has no hostnames.
fn decode(key: &ResourceKey, cx: &mut Cx<'_>) -> Option<Result<TlsRoute, Fault>> {
    if key.kind != Kind::TCP_ROUTE {
        return cx.decode(key);
    }
    let as_tls = |TcpRoute { metadata, spec }| {
        let spec = TlsSpec {
            parent_refs: spec.parent_refs,
            hostnames: Vec::new(),
            rules: spec.rules,
            use_default_gateways: spec.use_default_gateways,
        };
        TlsRoute { metadata, spec }
    };
    cx.decode::<TcpRoute>(key).map(|route| route.map(as_tls))
}

/// What an API server would not let in.
fn check_rules(key: &ResourceKey, route: &TlsRoute, faults: &mut Vec<Fault>) {
    if route.spec.rules.len() > 1 {
        faults.push(fault(
            key,
            "spec.rules[1]",
            format!("a {} has one rule", key.kind.kind()),
            "remove all but the first",
        ));
    }
    for (index, backend) in route.spec.rules.iter().flat_map(|rule| &rule.backend_refs).enumerate() {
        if !backend.filters.is_empty() {
            let field = format!("spec.rules[0].backendRefs[{index}].filters");
            faults.push(fault(key, field, format!("a {} has no filters", key.kind.kind()), "remove them"));
        }
    }
}

fn reach(
    key: &ResourceKey,
    route: &TlsRoute,
    passthrough: bool,
    own: &BTreeSet<&ResourceKey>,
    cx: &mut Cx<'_>,
) -> Reached {
    let protocol = if passthrough { UpstreamProtocol::Passthrough } else { UpstreamProtocol::Tcp };
    let mut rule_cx = RuleCx::raw(cx, key, protocol);
    let mut backends = Vec::new();
    let written = route.spec.rules.first().map(|rule| rule.backend_refs.as_slice()).unwrap_or_default();
    for (index, backend) in written.iter().enumerate() {
        let field = format!("spec.rules[0].backendRefs[{index}]");
        let mut cluster = rule_cx.cluster_of(&backend.reference(), &field);
        // Nothing in a connection tells how often it has been here: it would come back until no more can be opened.
        if std::mem::take(&mut rule_cx.gateways).iter().any(|gateway| own.contains(gateway)) {
            let remedy = "refer to the Service that the connections are for";
            rule_cx.refuse(&field, "leads back to the Gateway of the route", remedy);
            cluster = None;
        }
        let weight = rule::weight(&mut rule_cx, backend, &field);
        if weight > 0 {
            backends.push(L4Backend { weight, cluster });
        }
    }
    Reached { backends, clusters: rule_cx.clusters, problems: rule_cx.problems }
}

fn contribute(output: &mut Output, attempt: &Attempt, modes: &BTreeMap<bool, Reached>) {
    let gateway = &attempt.gateway;
    let used: BTreeSet<bool> = attempt.attachments.iter().map(|attachment| attachment.passthrough).collect();
    for cluster in used.iter().filter_map(|mode| modes.get(mode)).flat_map(|reached| &reached.clusters) {
        if cluster.protocol != UpstreamProtocol::Passthrough {
            output.entries.push((IndexKey::GatewaysOf(cluster.backend.service()), gateway.clone()));
        }
        output.demands.push(NodeKey::Cluster(gateway.clone(), cluster.clone()));
    }
}
