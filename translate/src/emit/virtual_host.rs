//! One domain of a route table: a virtual host, which is filled with the routes of the objects that serve it
//! by whoever serves the table.

use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteMatch, VirtualHost};
use prost::Message;
use proto::{ArcStr, Put, ResourceKey, RouteEntry, RouteSet, Routing, XdsKey};

use super::put;
use super::route::answer;
use crate::cx::{Cx, Output};
use crate::features::retry;
use crate::ir::{NodeKey, Value, VirtualHostRole};

/// How often a request that no backend has seen anything of is tried again, where its route says nothing of retries.
const RETRIES: u32 = 2;
/// Name of the route of a listener that no object's route matches.
const UNMATCHED: &str = "unmatched";

pub(crate) fn compute(gateway: &ResourceKey, table: &ArcStr, domain: &ArcStr, cx: &mut Cx<'_>) -> Output {
    let mut output = Output::of(Value::Absent);
    let Some(Value::Gateway(ir)) = cx.node(NodeKey::Gateway(gateway.clone())) else { return output };
    let (routes, routing) = match ir.role(table, domain) {
        Some(VirtualHostRole::Routes(up_to)) => (Vec::new(), Some(Routing::UpTo(up_to))),
        Some(VirtualHostRole::Misdirected) => (vec![misdirected()], None),
        None => return output,
    };
    let host = VirtualHost {
        name: domain.to_string(),
        domains: vec![domain.to_string()],
        // Said once here: a route with a policy of its own does not get this one.
        retry_policy: routing.is_some().then(|| retry::nothing_sent(RETRIES)),
        routes,
        ..VirtualHost::default()
    };
    let key = XdsKey::virtual_host(gateway.clone(), table.clone(), domain.clone());
    let mut put = put(key, &host);
    put.version = put.version.with(routing_version(routing.as_ref()));
    put.routing = routing;
    output.puts.push(put);
    if ir.has_filters(table, domain) {
        output.puts.push(unmatched(gateway, table, domain));
    }
    output
}

/// The last route of a listener that has filters: Envoy runs them only where there is some route.
fn unmatched(gateway: &ResourceKey, table: &ArcStr, domain: &ArcStr) -> Put {
    let everything =
        RouteMatch { path_specifier: Some(PathSpecifier::Prefix(String::new())), ..RouteMatch::default() };
    let route = Route {
        name: UNMATCHED.to_owned(),
        r#match: Some(everything),
        action: Some(answer(404)),
        ..Route::default()
    };
    let entry = RouteEntry { order: u64::MAX, path: None, body: route.encode_to_vec().into() };
    let set = RouteSet { specificity: 0, created: ArcStr::new(), entries: [entry].into() };
    let key = XdsKey::routes(gateway.clone(), table.clone(), domain.clone(), UNMATCHED);
    let (version, body) = (set.version(), bytes::Bytes::new());
    Put { key, version, body, private_key: None, routing: Some(Routing::Routes(set.into())) }
}

fn routing_version(routing: Option<&Routing>) -> proto::ContentHash {
    match routing {
        Some(Routing::UpTo(domain)) => proto::ContentHash::of_named("up to", domain.as_bytes()),
        _ => proto::ContentHash::default(),
    }
}

/// RFC 9110, 15.5.20: the connection is not authoritative for this host; the client opens another.
fn misdirected() -> Route {
    let everything =
        RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".to_owned())), ..RouteMatch::default() };
    Route {
        name: "misdirected".to_owned(),
        r#match: Some(everything),
        action: Some(answer(421)),
        ..Route::default()
    }
}
