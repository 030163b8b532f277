//! An HTTPRoute or GRPCRoute: where it attaches, what its rules are, its status, and its routes as Envoy has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::{ArcStr, Fault, Kind, ObjectStatus, Put, ResourceKey, RouteEntry, RouteSet, Routing, XdsKey};

use super::route::{entries, name_of};
use crate::attach::health::{Health, invalid, with_report};
use crate::attach::parent::{self, Attempt};
use crate::attach::{grpc, rule};
use crate::cx::{Cx, Output};
use crate::hostname;
use crate::ir::{Attachment, ClusterKey, Context, IndexKey, NodeKey, Value};
use crate::model::{GrpcRoute, HttpRoute, Rule};
use crate::resolve::RuleCx;

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

    let default_rules = [Rule::default()];
    let written = route.spec.rules.as_deref().filter(|rules| !rules.is_empty()).unwrap_or(&default_rules);
    let mut rule_cx = RuleCx::new(cx, key);
    let rules: Vec<_> =
        written.iter().enumerate().map(|(index, rule)| rule::resolve(index, rule, &mut rule_cx)).collect();
    let (problems, clusters) = (rule_cx.problems, rule_cx.clusters);
    faults.extend(problems.iter().map(|problem| problem.fault().clone()));

    let refused = rules.iter().filter(|rule| rule.refused || rule.matches.is_empty()).count();
    let health = Health::of(&problems, refused, rules.len());
    let mut attachments = Vec::new();
    for attempt in &attempts {
        contribute(&mut output, attempt, &clusters);
        if health.accepts() {
            output.entries.extend(attempt.attached(key));
        }
        attachments.extend(attempt.attachments.iter().cloned());
    }
    let created = &route.metadata.creation_timestamp;
    output.puts = puts(key, &attachments, created, |context| entries(key, &rules, context));
    let parents = attempts.iter().map(|attempt| health.parent_status(attempt)).collect();
    with_report(output, key, ObjectStatus { parents, faults, ..ObjectStatus::default() }, cx)
}

/// The route in the form that all kinds are served in.
fn decode(key: &ResourceKey, cx: &mut Cx<'_>) -> Option<Result<HttpRoute, Fault>> {
    if key.kind == Kind::GRPC_ROUTE {
        return cx.decode::<GrpcRoute>(key).map(|route| route.map(grpc::as_http));
    }
    cx.decode(key)
}

fn contribute(output: &mut Output, attempt: &Attempt, clusters: &BTreeSet<ClusterKey>) {
    let gateway = &attempt.gateway;
    for attachment in &attempt.attachments {
        let (table, domain) = (attachment.table.clone(), attachment.domain.clone());
        output.demands.push(NodeKey::VirtualHost(gateway.clone(), table, domain));
    }
    if attempt.attachments.is_empty() {
        return;
    }
    for cluster in clusters {
        output.entries.push((IndexKey::GatewaysOf(cluster.backend.service()), gateway.clone()));
        output.demands.push(NodeKey::Cluster(gateway.clone(), cluster.clone()));
    }
}

/// The routes as pieces, one for each domain; a domain that several hostnames lead to counts as the most
/// specific of them.
fn puts(
    key: &ResourceKey,
    attachments: &[Attachment],
    created: &ArcStr,
    entries: impl Fn(Context) -> Vec<RouteEntry>,
) -> Vec<Put> {
    let mut domains: BTreeMap<(&ResourceKey, &ArcStr, &ArcStr), (u16, Context)> = BTreeMap::new();
    for attachment in attachments {
        let specificity = hostname::rank(&attachment.written);
        let place = (&attachment.gateway, &attachment.table, &attachment.domain);
        let best = domains.entry(place).or_insert((specificity, attachment.context));
        best.0 = best.0.max(specificity);
    }
    let mut encoded: BTreeMap<Context, Arc<[RouteEntry]>> = BTreeMap::new();
    let mut all: Vec<Put> = Vec::with_capacity(domains.len());
    for ((gateway, table, domain), (specificity, context)) in domains {
        let shared = encoded.values().next().cloned();
        let entries = encoded.entry(context).or_insert_with(|| {
            let made: Arc<[RouteEntry]> = entries(context).into();
            // Routes without redirects are the same in every context: keep them once.
            shared.filter(|shared| *shared == made).unwrap_or(made)
        });
        if entries.is_empty() {
            continue;
        }
        let set = RouteSet { specificity, created: created.clone(), entries: Arc::clone(entries) };
        let route = name_of(key);
        let key = XdsKey::routes(gateway.clone(), table.clone(), domain.clone(), route);
        let (version, body) = (set.version(), bytes::Bytes::new());
        all.push(Put { key, version, body, private_key: None, routing: Some(Routing::Routes(set.into())) });
    }
    all
}
