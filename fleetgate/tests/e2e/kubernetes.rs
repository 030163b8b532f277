//! `fleetgate standalone --kubernetes` with a real API server and a real Envoy.
//!
//! The test starts a test bed and then itself once more inside the bed's namespaces, where all ports are free.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::harness::{
    Ask, Bed, CLASS, ECHO, ECHO_ADDRESS, Program, Traffic, apply, apply_definitions, ask, condition, kubectl,
    object, patch, until,
};

/// Set for the part that runs inside.
const INSIDE: &str = "FLEETGATE_TEST_INSIDE_BED";
const PORT: u16 = 10080;

const OBJECTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: fleetgate-system}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: default}
spec:
  gatewayClassName: fleetgate
  infrastructure: {parametersRef: {group: gateway.gloo.solo.io, kind: GatewayParameters, name: own}}
  listeners: [{name: http, port: 10080, protocol: HTTP}]
---
apiVersion: gateway.gloo.solo.io/v1alpha1
kind: GatewayParameters
metadata: {name: own, namespace: default}
spec: {selfManaged: {}}
"#;

#[test]
fn a_cluster_is_served_and_told() {
    let Some(bed) = Bed::up() else { return };
    bed.run_test("kubernetes::inside_a_bed", INSIDE);
}

async fn answers(host: &str, status: u16) {
    let request = Ask::get(host, "/hello");
    until(&format!("{host} answers {status}"), async || match ask(PORT, &request).await {
        Ok(answer) if answer.status == status => Ok(()),
        other => Err(format!("{:?}", other.map(|answer| answer.status))),
    })
    .await;
}

fn fleetgate(dir: &Path) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetgate"));
    command.args(["standalone", "--kubernetes", "--xds-listen", "127.0.0.1:18000"]);
    command.args(["--xds-service", "127.0.0.1:18000", "--state-dir"]).arg(dir.join("state"));
    Program::start(&mut command, &dir.join("fleetgate.log"))
}

fn envoy(dir: &Path) -> Program {
    let bootstrap = Command::new(env!("CARGO_BIN_EXE_fleetgate"))
        .args(["bootstrap", "--kubernetes", "--xds-service", "127.0.0.1:18000", "--gateway", "default/web"])
        .arg("--proxy-module")
        .output()
        .unwrap();
    assert!(bootstrap.status.success(), "{}", String::from_utf8_lossy(&bootstrap.stderr));
    let file = dir.join("envoy.json");
    std::fs::write(&file, bootstrap.stdout).unwrap();
    let mut command = Command::new(needs::envoy().unwrap());
    let module = Path::new(env!("CARGO_BIN_EXE_fleetgate")).parent().unwrap();
    command.env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", module);
    command.arg("-c").arg(file).args(["--disable-hot-restart", "--concurrency", "1"]);
    Program::start(&mut command, &dir.join("envoy.log"))
}

/// Runs in the namespaces of a bed.
#[tokio::test]
#[ignore = "a part of another test"]
async fn inside_a_bed() {
    let Some(dir) = needs::started_by_another_test(INSIDE) else { return };
    apply_definitions().await;
    apply(&format!("{CLASS}{OBJECTS}---\n{ECHO}"));
    let echo = Path::new(env!("CARGO_BIN_EXE_fleetgate")).with_file_name("echo");
    let _echo = Program::start(
        Command::new(echo).args(["--listen", ECHO_ADDRESS, "--name", "blue"]),
        &dir.join("echo.log"),
    );
    let control_plane = fleetgate(&dir);
    until("the authority is there", async || {
        let found = Command::new("kubectl")
            .args(["-n", "fleetgate-system", "get", "secret", "fleetgate-xds-ca"])
            .output();
        if found.unwrap().status.success() { Ok(()) } else { Err("no Secret".to_owned()) }
    })
    .await;
    // Nobody gets anything without a certificate.
    let stranger =
        Command::new("curl").args(["-sk", "--max-time", "5", "https://127.0.0.1:18000/"]).output().unwrap();
    assert!(!stranger.status.success() && stranger.stdout.is_empty());
    let _envoy = envoy(&dir);
    answers("any.example.com", 200).await;
    statuses_are_written().await;
    edits_are_live().await;

    // Envoy serves on while fleetgate restarts, and nothing changes for it.
    let traffic = Traffic::start(PORT, &Ask::get("a.example.com", "/hello")).await;
    control_plane.end();
    let _control_plane = fleetgate(&dir);
    patch("httproute", "echo", &[], &json!({"spec": {"hostnames": ["a.example.com", "b.example.com"]}}));
    answers("b.example.com", 200).await;
    let failed: Vec<_> = traffic
        .stop()
        .await
        .into_iter()
        .filter(|answer| !answer.as_ref().is_ok_and(|answer| answer.status == 200))
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    // What is deleted is gone.
    kubectl(&["delete", "httproute", "echo"]);
    answers("a.example.com", 404).await;
    until("no route is attached", async || {
        match &object("gateway", "web")["status"]["listeners"][0]["attachedRoutes"] {
            count if *count == 0 => Ok(()),
            count => Err(format!("{count} routes")),
        }
    })
    .await;
}

async fn statuses_are_written() {
    until("the Gateway is programmed", async || {
        let status = &object("gateway", "web")["status"];
        let told =
            (condition(&status["conditions"], "Programmed"), &status["listeners"][0]["attachedRoutes"]);
        if told == ("True at 1".to_owned(), &json!(1)) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    let class = &object("gatewayclass", "fleetgate")["status"];
    assert_eq!(condition(&class["conditions"], "Accepted"), "True at 1");
    assert!(class["supportedFeatures"].as_array().unwrap().contains(&json!({"name": "HTTPRoute"})));
    let parent = &object("httproute", "echo")["status"]["parents"][0];
    assert_eq!(parent["controllerName"], "fleetgate.dev/gateway");
    assert_eq!(condition(&parent["conditions"], "ResolvedRefs"), "True at 1");
}

async fn edits_are_live() {
    let others = json!({
        "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "theirs"},
        "controllerName": "example.com/other",
        "conditions": [{"type": "Accepted", "status": "True", "reason": "Fine", "message": "", "observedGeneration": 1,
                        "lastTransitionTime": "2020-01-01T00:00:00Z"}],
    });
    let ours = object("httproute", "echo")["status"]["parents"][0].clone();
    patch("httproute", "echo", &["--subresource=status"], &json!({"status": {"parents": [others, ours]}}));
    patch("httproute", "echo", &[], &json!({"spec": {"hostnames": ["a.example.com"]}}));
    answers("any.example.com", 404).await;
    answers("a.example.com", 200).await;
    until("the status speaks of the edit, and others' entries are as they were", async || {
        let parents = &object("httproute", "echo")["status"]["parents"];
        let told = condition(&parents[1]["conditions"], "Accepted");
        if parents[0] == others && told == "True at 2" { Ok(()) } else { Err(parents.to_string()) }
    })
    .await;
    // A status that somebody takes away is put back.
    patch("httproute", "echo", &["--subresource=status"], &json!({"status": {"parents": [others]}}));
    until("our entry is back", async || {
        let parents = &object("httproute", "echo")["status"]["parents"];
        if parents[1]["controllerName"] == "fleetgate.dev/gateway" {
            Ok(())
        } else {
            Err(parents.to_string())
        }
    })
    .await;
}
