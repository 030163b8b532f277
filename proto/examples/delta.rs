//! What it costs to send a delta of one route: `cargo run --release -p proto --example delta`.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use proto::{
    Condition, Delta, JsonText, Kind, ObjectStatus, ParentStatus, Put, Report, ResourceKey, RouteEntry,
    RouteSet, Routing, XdsKey,
};

const ROUNDS: u32 = 100_000;

fn main() {
    let scope = ResourceKey::local(Kind::GATEWAY, "default", "web");
    let key = XdsKey::routes(scope.clone(), "http/8080", "app.example.com", "httproute/default/app");
    let entry = RouteEntry { order: 7, path: Some("api".into()), body: vec![7; 200].into() };
    let set = RouteSet { specificity: 1, created: "2026-01-01T00:00:00Z".into(), entries: [entry].into() };
    let put = Put { routing: Some(Routing::Routes(set.into())), ..Put::new(key, Bytes::new()) };
    let condition = |kind: &str| Condition::new(kind, true, kind, "");
    let parent = ParentStatus {
        parent_ref: JsonText::of(&serde_json::json!({"name": "web"})),
        gateway: Some(scope),
        conditions: vec![condition("Accepted"), condition("ResolvedRefs")],
    };
    let status = ObjectStatus { parents: vec![parent], ..ObjectStatus::default() };
    let route = ResourceKey::local(Kind::HTTP_ROUTE, "default", "app");
    let reports = vec![Report { key: route, status: Some(status) }];
    for (what, delta) in [
        ("pieces alone", Delta { puts: vec![put.clone()], ..Delta::default() }),
        ("with the status", Delta { puts: vec![put], reports, ..Delta::default() }),
    ] {
        let bytes = Bytes::from(delta.encode());
        let each = |work: &dyn Fn()| {
            let begun = Instant::now();
            (0..ROUNDS).for_each(|_| work());
            begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
        };
        let encoding = each(&|| drop(black_box(delta.encode())));
        let decoding = each(&|| drop(black_box(Delta::decode(bytes.clone()))));
        println!("{what:16} {:5} bytes  encode {encoding:5.2} µs  decode {decoding:5.2} µs", bytes.len());
    }
}
