//! One domain of a route table: the encoded routes of all that serve it, in order of precedence.

use std::cmp::Reverse;

use bytes::Bytes;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteMatch, VirtualHost};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use proto::{ArcStr, ContentHash, Put, ResourceKey, XdsKey};

use super::route::answer;
use crate::engine::{Cx, Output};
use crate::graph::{Attachment, Entry, IndexKey, NodeKey, RouteIr, Value, VirtualHostRole};
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

/// An encoded route with what decides its place: its hostname as written and its HTTPRoute's creation.
type Candidate<'a> = (Reverse<(usize, usize)>, &'a Entry, &'a ArcStr);

/// A route that serves a domain, with the hostname that it wrote for it.
struct Serving<'a> {
    key: &'a ResourceKey,
    route: &'a RouteIr,
    written: &'a ArcStr,
}

/// Routes of the domain itself, then those of wider hostnames: Envoy never falls through from one virtual
/// host to another, so what may match is repeated here.
fn serving(
    gateway: &ResourceKey,
    listener: &ArcStr,
    table: &ArcStr,
    domain: &ArcStr,
    cx: &mut Cx<'_>,
) -> Vec<Bytes> {
    let serving = find(gateway, listener, domain, cx);
    let mut candidates: Vec<Candidate<'_>> = Vec::with_capacity(serving.len());
    for Serving { route, written, .. } in serving {
        let here = |a: &&Attachment| a.table == *table && a.listener == *listener && a.gateway == *gateway;
        let context = route.attachments.iter().find(here).map(|a| a.context);
        let entries = route.entries.iter().find(|(c, _)| Some(*c) == context).map(|(_, entries)| entries);
        let rank = Reverse(specificity(written));
        candidates.extend(entries.into_iter().flat_map(|e| e.iter()).map(|e| (rank, e, &route.created)));
    }
    // Stable: what is equal stays in the order of the routes' names, and of rules within a route.
    candidates.sort_by(|a, b| (&a.0, &a.1.rank, a.2).cmp(&(&b.0, &b.1.rank, b.2)));
    candidates.into_iter().map(|(_, entry, _)| entry.body.clone()).collect()
}

/// The routes of all hostnames that cover the domain, in the order of their names, each once with the most
/// specific hostname that it wrote.
fn find<'a>(gateway: &ResourceKey, listener: &ArcStr, domain: &ArcStr, cx: &mut Cx<'a>) -> Vec<Serving<'a>> {
    let mut serving: Vec<Serving<'a>> = Vec::new();
    for name in covering(domain) {
        for key in cx.members(IndexKey::Serving(gateway.clone(), listener.clone(), name.clone())) {
            let Some(Value::Route(route)) = cx.node(NodeKey::Route(key.clone())) else { continue };
            let here = |a: &&Attachment| a.domain == name && a.listener == *listener && a.gateway == *gateway;
            let written = route.attachments.iter().filter(here).map(|a| &a.written);
            if let Some(written) = written.max_by_key(|written| specificity(written)) {
                serving.push(Serving { key, route, written });
            }
        }
    }
    if !serving.is_sorted_by(|a, b| a.key < b.key) {
        serving.sort_by(|a, b| a.key.cmp(b.key).then(specificity(b.written).cmp(&specificity(a.written))));
        serving.dedup_by(|a, b| a.key == b.key);
    }
    serving
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
