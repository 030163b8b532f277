//! An API server that is away, hangs, starts anew, has forgotten, breaks off, or has no time.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::scene::{PATIENCE, Scene};
use crate::harness::{Fault, apply, kubectl, patch, until_within};

/// A route that is there for one step.
fn route(name: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: default}}\n\
         spec: {{parentRefs: [{{name: web}}], hostnames: [{name}.example.com], \
         rules: [{{backendRefs: [{{name: echo, port: 80}}]}}]}}\n"
    )
}

pub(super) async fn all(scene: &mut Scene) {
    let quick = std::env::var_os("FLEETGATE_QUICK").is_some();
    away(scene, Duration::from_secs(if quick { 5 } else { 60 })).await;
    for (fault, what) in [
        (Fault::Throttled, "too many requests"),
        (Fault::Cut, "watches that break off"),
        (Fault::Slow(Duration::from_secs(2)), "slow answers"),
    ] {
        goes_wrong_for_a_while(scene, fault, what).await;
    }
    hangs(scene).await;
    starts_anew(scene).await;
    has_forgotten(scene).await;
}

async fn away(scene: &mut Scene, time: Duration) {
    let load = scene.load().await;
    scene.set(Fault::Away);
    let host = scene.edit();
    tokio::time::sleep(time).await;
    scene.set(Fault::None);
    scene.answers(&host, 200).await;
    scene.follows("an API server that was away").await;
    load.stop_without_failure("an API server that was away").await;
}

async fn goes_wrong_for_a_while(scene: &mut Scene, fault: Fault, what: &str) {
    let load = scene.load().await;
    scene.set(fault);
    apply(&route("added"));
    let host = scene.edit();
    load.more(300).await;
    scene.set(Fault::None);
    scene.answers(&host, 200).await;
    scene.answers("added.example.com", 200).await;
    scene.is_told("httproute", "added").await;
    kubectl(&["delete", "httproute", "added"]);
    scene.answers("added.example.com", 404).await;
    scene.follows(what).await;
    load.stop_without_failure(what).await;
}

/// A signal to the real one.
fn signal(signal: &str) {
    let sent = Command::new("pkill").args([&format!("-{signal}"), "-x", "kube-apiserver"]).status();
    assert!(sent.unwrap().success());
}

async fn hangs(scene: &mut Scene) {
    let load = scene.load().await;
    signal("STOP");
    load.more(500).await;
    signal("CONT");
    scene.follows("an API server that hung").await;
    load.stop_without_failure("an API server that hung").await;
}

async fn is_ready() {
    until_within(PATIENCE, "the API server is ready", async || {
        let ready = Command::new("kubectl").args(["get", "--raw", "/readyz"]).output().unwrap();
        if ready.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ready.stderr).into()) }
    })
    .await;
}

async fn starts_anew(scene: &mut Scene) {
    let load = scene.load().await;
    signal("KILL");
    // Beginners, too, find only half of what there is.
    scene.kill(1);
    scene.start_replica(1);
    is_ready().await;
    scene.follows("a restart of the API server").await;
    load.stop_without_failure("a restart of the API server").await;
}

/// While nobody listens, things change, etcd forgets how, and so does the API server.
async fn has_forgotten(scene: &mut Scene) {
    apply(&[route("goes"), route("changes")].join("---\n"));
    scene.answers("goes.example.com", 200).await;
    scene.answers("changes.example.com", 200).await;
    let load = scene.load().await;
    let before: Vec<usize> = scene.apis.iter().map(|api| api.gone()).collect();
    scene.set(Fault::Away);
    kubectl(&["delete", "httproute", "goes"]);
    apply(&route("comes"));
    patch("httproute", "changes", &[], &json!({"spec": {"hostnames": ["changed.example.com"]}}));
    compact();
    signal("KILL");
    is_ready().await;
    scene.set(Fault::None);
    scene.answers("goes.example.com", 404).await;
    for host in ["comes.example.com", "changed.example.com"] {
        scene.answers(host, 200).await;
    }
    let after: Vec<usize> = scene.apis.iter().map(|api| api.gone()).collect();
    assert!(
        before.iter().zip(&after).all(|(before, after)| before < after),
        "nobody was told 410: {after:?}"
    );
    kubectl(&["delete", "httproute", "comes", "changes"]);
    scene.follows("a compacted etcd").await;
    load.stop_without_failure("a compacted etcd").await;
}

/// Has etcd forget all revisions but the newest, by its JSON gateway
/// (<https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/>).
fn compact() {
    let post = |path: &str, body: &str| {
        let url = format!("http://127.0.0.1:2379/v3/{path}");
        let output = Command::new("curl").args(["-sf", "-X", "POST", "-d", body, &url]).output().unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let status = post("maintenance/status", "{}");
    let revision = status["header"]["revision"].as_str().unwrap();
    post("kv/compaction", &json!({"revision": revision, "physical": true}).to_string());
}
