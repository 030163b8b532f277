//! A route is edited under traffic: weights, backends, filters, rules that go and change places.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::live::Wrong;
use super::web::Web;
use super::{Api, BACKENDS, Scene, at_most};
use crate::check::Check;

/// A route that no other scenario has, and a second Service for it.
const ROUTE: usize = 2_000_000;
const OTHER: &str = "other";
/// Clients that ask without a pause.
const CLIENTS: usize = 2;
/// From one edit to the next: enough that each goes out alone.
const PACE: Duration = Duration::from_millis(20);

pub(super) async fn measure(scene: &Scene, count: usize, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let api = &scene.api;
    api.create_service(OTHER).await?;
    api.create_slice(OTHER, scene.node, BACKENDS[1].1).await?;
    api.create_route(ROUTE).await?;
    let mut web = Web::new(scene.address);
    while web.get(&Api::host(ROUTE)).await.0 != 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask(Web::new(scene.address), Arc::clone(&done)));
    }
    let all = rules();
    for rules in all.iter().cycle().take(count) {
        api.edit_route(ROUTE, rules).await?;
        tokio::time::sleep(PACE).await;
    }
    done.store(true, Ordering::Relaxed);
    let (mut answers, mut failed) = (0, 0.0);
    for (asked, wrong) in clients.join_all().await {
        answers += asked;
        failed += wrong.told();
    }
    eprintln!("{count} edits, {answers} answers");
    checks.push(at_most("requests that failed while a route was edited", 0.0, failed));
    Ok(())
}

/// Asks until it is done; every answer must be 200.
async fn ask(mut web: Web, done: Arc<AtomicBool>) -> (usize, Wrong) {
    let (mut asked, mut wrong) = (0, Wrong::default());
    let host = Api::host(ROUTE);
    while !done.load(Ordering::Relaxed) {
        let answer = web.get(&host).await;
        asked += 1;
        if answer.0 != 200 {
            wrong.add(answer);
        }
    }
    (asked, wrong)
}

/// What the route's rules become, one after the other; `/` is always served.
fn rules() -> Vec<Value> {
    let to = |name: &str, weight: u32| json!({"name": name, "port": 80, "weight": weight});
    let path = |value: &str| json!([{"path": {"type": "PathPrefix", "value": value}}]);
    let header = json!([{"type": "ResponseHeaderModifier",
        "responseHeaderModifier": {"set": [{"name": "x-edited", "value": "yes"}]}}]);
    let root = |backends: Value| json!({"matches": path("/"), "backendRefs": backends});
    let aside = |value: &str| json!({"matches": path(value), "backendRefs": [to("echo", 1)]});
    let (first, second) = (root(json!([to("echo", 1)])), root(json!([to(OTHER, 1)])));
    vec![
        json!([root(json!([to("echo", 9), to(OTHER, 1)]))]),
        json!([root(json!([to("echo", 1), to(OTHER, 9)]))]),
        json!([second]),
        json!([{"matches": path("/"), "filters": header, "backendRefs": [to(OTHER, 1)]}]),
        json!([second, aside("/a"), aside("/b")]),
        json!([aside("/b"), aside("/a"), second]),
        json!([aside("/b"), second]),
        json!([first, aside("/b")]),
        json!([first]),
    ]
}
