//! How long translation takes: `cargo run --release -p translate --example scale -- 10000`.
#![allow(clippy::disallowed_types, clippy::unwrap_used)] // a benchmark, not the translator

use std::time::Instant;

use proto::{Change, ClusterId, Epoch, Event, Kind, ResourceKey, Revision};
use serde_json::{Value, json};
use translate::{Engine, Env};

fn event(kind: Kind, namespace: &str, name: &str, version: usize, object: &Value) -> Event {
    let mut event = Event::synced(ClusterId::LOCAL, kind.clone(), Epoch(1), Epoch(0), 0);
    event.key = ResourceKey::local(kind, namespace, name);
    event.resource_version = version.to_string().into();
    event.change = Change::Upsert(object.to_string().into());
    event
}

fn route(number: usize, shared: bool, path: &str, version: usize) -> Event {
    let host = if shared { "all.example.com".to_owned() } else { format!("r{number}.example.com") };
    let object = json!({"metadata": {}, "spec": {"parentRefs": [{"name": "web"}], "hostnames": [host],
        "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": format!("{path}{number}")}}],
            "backendRefs": [{"name": format!("s{}", number / 100), "port": 80}]}]}});
    event(Kind::HTTP_ROUTE, "default", &format!("r{number}"), version, &object)
}

fn main() {
    let routes: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_000);
    for shared in [false, true] {
        let mut events = vec![
            event(
                Kind::GATEWAY_CLASS,
                "",
                "fleetgate",
                0,
                &json!({"spec": {"controllerName": "fleetgate.dev/gateway"}}),
            ),
            event(
                Kind::GATEWAY,
                "default",
                "web",
                0,
                &json!({"spec": {"gatewayClassName": "fleetgate",
                "listeners": [{"name": "http", "port": 8080, "protocol": "HTTP"}]}}),
            ),
        ];
        for number in 0..=routes / 100 {
            let service = json!({"spec": {"ports": [{"port": 80}]}});
            events.push(event(Kind::SERVICE, "default", &format!("s{number}"), 0, &service));
        }
        events.extend((0..routes).map(|number| route(number, shared, "/p", 0)));
        let mut engine = Engine::new(Env::default());
        let start = Instant::now();
        let delta = engine.apply(Revision(1), &events);
        let cold = start.elapsed();
        let bytes: usize = delta.puts.iter().map(|put| put.body.len()).sum();
        drop(delta);
        drop(events);
        let rounds = 200;
        let start = Instant::now();
        for round in 0..rounds {
            let delta = engine.apply(Revision(2), &[route(round * 7 % routes, shared, "/q", round + 1)]);
            assert_eq!(delta.puts.len(), 1);
        }
        let change = start.elapsed() / u32::try_from(rounds).unwrap();
        let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let rss = memory.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("").to_owned();
        println!(
            "{routes} routes, shared host: {shared}: cold {cold:.2?} ({bytes} bytes), one change {change:.2?}; {rss}"
        );
    }
}
