//! One domain of a route table: the encoded routes of all that serve it, in order of precedence.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteMatch, VirtualHost};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use proto::{ArcStr, ContentHash, Put, ResourceKey, XdsKey};

use super::route::answer;
use crate::engine::{Cx, Output};
use crate::graph::{Entry, IndexKey, NodeKey, RouteIr, Value, VirtualHostRole};
use crate::hostname::{covering, specificity};

/// Field number of `routes` in `VirtualHost`.
const ROUTES: u32 = 3;

pub(crate) fn compute(gateway: &ResourceKey, table: &ArcStr, domain: &ArcStr, cx: &mut Cx<'_>) -> Output {
    let mut output = Output::of(Value::Absent);
    let Some(Value::Gateway(ir)) = cx.node(NodeKey::Gateway(gateway.clone())) else { return output };
    let routes: Vec<Bytes> = match ir.role(table, domain) {
        Some(VirtualHostRole::Routes(listener)) => serving(gateway, &listener, table, domain, cx),
        Some(VirtualHostRole::Misdirected) => vec![misdirected()],
        None => return output,
    };
    let body = encode(domain, &routes);
    let key = XdsKey::virtual_host(gateway.clone(), table.clone(), domain.clone());
    output.puts.push(Put { key, version: ContentHash::of(&body), body, private_key: None });
    output
}

/// An encoded route with what decides its place: hostname as written, creation and name of its HTTPRoute.
type Candidate<'a> = (Reverse<(usize, usize)>, &'a Entry, &'a ArcStr, &'a ResourceKey);

/// Routes of the domain itself, then those of wider hostnames: Envoy never falls through from one virtual
/// host to another, so what may match is repeated here.
fn serving(
    gateway: &ResourceKey,
    listener: &ArcStr,
    table: &ArcStr,
    domain: &ArcStr,
    cx: &mut Cx<'_>,
) -> Vec<Bytes> {
    let mut by_route: BTreeMap<&ResourceKey, ArcStr> = BTreeMap::new();
    let mut routes: BTreeMap<&ResourceKey, &Arc<RouteIr>> = BTreeMap::new();
    for name in covering(domain) {
        let members = cx.members(IndexKey::Serving(gateway.clone(), listener.clone(), name.clone()));
        for key in members {
            let Some(Value::Route(route)) = cx.node(NodeKey::Route(key.clone())) else { continue };
            routes.insert(key, route);
            let written = route
                .attachments
                .iter()
                .filter(|a| a.gateway == *gateway && a.listener == *listener && a.domain == name)
                .map(|a| &a.written)
                .max_by_key(|written| specificity(written));
            let Some(written) = written else { continue };
            let best = by_route.entry(key).or_insert_with(|| written.clone());
            if specificity(written) > specificity(best) {
                *best = written.clone();
            }
        }
    }
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    for (key, written) in &by_route {
        let Some(route) = routes.get(key) else { continue };
        let context = route
            .attachments
            .iter()
            .find(|a| a.gateway == *gateway && a.listener == *listener && a.table == *table)
            .map(|a| a.context);
        let entries = route.entries.iter().find(|(c, _)| Some(*c) == context).map(|(_, entries)| entries);
        for entry in entries.into_iter().flat_map(|entries| entries.iter()) {
            candidates.push((Reverse(specificity(written)), entry, &route.created, key));
        }
    }
    // Stable: entries of one route with equal rank stay in the order of its rules.
    candidates.sort_by(|a, b| (&a.0, &a.1.rank, a.2, a.3).cmp(&(&b.0, &b.1.rank, b.2, b.3)));
    candidates.into_iter().map(|(_, entry, _, _)| entry.body.clone()).collect()
}

/// RFC 9110, 15.5.20: the connection is not authoritative for this host; the client opens another.
fn misdirected() -> Bytes {
    let everything =
        RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".to_owned())), ..RouteMatch::default() };
    let route = Route {
        name: "misdirected".to_owned(),
        r#match: Some(everything),
        action: Some(answer(421)),
        ..Route::default()
    };
    route.encode_to_vec().into()
}

/// A `VirtualHost` around routes that are encoded already.
fn encode(domain: &ArcStr, routes: &[Bytes]) -> Bytes {
    let header =
        VirtualHost { name: domain.to_string(), domains: vec![domain.to_string()], ..VirtualHost::default() };
    let size = |route: &Bytes| key_len(ROUTES) + encoded_len_varint(route.len() as u64) + route.len();
    let mut body = Vec::with_capacity(header.encoded_len() + routes.iter().map(size).sum::<usize>());
    header.encode(&mut body).expect("invariant: a Vec grows");
    for route in routes {
        encode_key(ROUTES, WireType::LengthDelimited, &mut body);
        encode_varint(route.len() as u64, &mut body);
        body.extend_from_slice(route);
    }
    body.into()
}
