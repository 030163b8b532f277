//! Envoys that are killed, and pods that are deleted.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use super::load::{Client, Load};
use super::scene::{PATIENCE, Scene};
use crate::harness::{kill, kubectl, object, until_within, within};

const PODS: &str = "gateway.networking.k8s.io/gateway-name=web";

pub(super) async fn all(scene: &mut Scene) {
    one_of_two_is_killed(scene).await;
    one_of_two_is_deleted(scene).await;
}

fn pods() -> Vec<Value> {
    let pods: Value = serde_json::from_str(&kubectl(&["get", "pods", "-l", PODS, "-o", "json"])).unwrap();
    pods["items"].as_array().unwrap().clone()
}

/// Names of the pods, and how often each was started.
pub(super) fn starts() -> Vec<String> {
    let start = |pod: &Value| format!("{} {}", pod["metadata"]["name"], restarts(pod));
    let mut starts: Vec<String> = pods().iter().map(start).collect();
    starts.sort_unstable();
    starts
}

fn restarts(pod: &Value) -> u64 {
    pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or_default()
}

async fn both_are_ready() {
    until_within(PATIENCE, "both pods are ready", async || {
        let ready = |pod: &Value| pod["status"]["containerStatuses"][0]["ready"] == true;
        let count = pods().iter().filter(|pod| ready(pod)).count();
        if count == 2 { Ok(()) } else { Err(format!("{count} of 2")) }
    })
    .await;
}

/// Process ids of the two, once those of other Gateways have ended.
async fn envoys() -> Vec<u32> {
    until_within(PATIENCE, "two Envoys run", async || {
        let output = Command::new("pgrep").args(["-x", "envoy"]).output().unwrap();
        let ids = String::from_utf8(output.stdout).unwrap();
        let ids: Vec<u32> = ids.lines().map(|id| id.parse().unwrap()).collect();
        if ids.len() == 2 { Ok(ids) } else { Err(format!("{ids:?}")) }
    })
    .await
}

/// The port of listener `http` in the pods.
fn port() -> u16 {
    let service = object("service", "gloo-proxy-web");
    let ports = service["spec"]["ports"].as_array().unwrap();
    let http = ports.iter().find(|port| port["port"] == 80).unwrap();
    u16::try_from(http["targetPort"].as_u64().unwrap()).unwrap()
}

/// What is under way in a killed process is lost, and what comes until its endpoint is taken away. Whoever is connected
/// to the other one loses nothing, and nobody gets a wrong answer.
async fn one_of_two_is_killed(scene: &mut Scene) {
    both_are_ready().await;
    let port = port();
    let mut loads = Vec::new();
    for pod in pods() {
        let address: SocketAddr =
            format!("{}:{port}", pod["status"]["podIP"].as_str().unwrap()).parse().unwrap();
        loads.push(Load::start(&[Client::Keeps(address), Client::Anew(address)]).await);
    }
    let through_service = scene.load().await;
    let before = starts();
    kill("KILL", envoys().await[0]);
    until_within(PATIENCE, "it is started again", async || {
        if starts() == before { Err(format!("{before:?}")) } else { Ok(()) }
    })
    .await;
    both_are_ready().await;
    scene.follows("a killed Envoy").await;
    let mut failures = Vec::new();
    for load in loads {
        failures.push(load.stop().await.failures);
    }
    assert!(failures.iter().any(Vec::is_empty), "one served on: {failures:?}");
    failures.push(through_service.stop().await.failures);
    let wrong: Vec<_> = failures.iter().flatten().filter(|one| one.starts_with("Answer")).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let load = scene.load().await;
    load.more(100).await;
    load.stop_without_failure("an Envoy that came back").await;
}

/// It ends in order, and another takes its place.
async fn one_of_two_is_deleted(scene: &mut Scene) {
    let load = scene.load().await;
    let name = pods()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    kubectl(&["delete", "pod", &name, &within()]);
    both_are_ready().await;
    scene.follows("a deleted pod").await;
    load.stop_without_failure("a deleted pod").await;
}
