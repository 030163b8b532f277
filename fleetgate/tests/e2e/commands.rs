//! The command line against the running instance, and offline.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{Instance, Scene};

fn fleetgate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetgate"));
    command.args(arguments).env_remove("FLEETGATE_CONFIG").output().unwrap()
}

/// Standard output of a command that must succeed.
fn stdout(arguments: &[&str]) -> String {
    let output = fleetgate(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn asked(instance: &Instance, arguments: &[&str]) -> String {
    let admin = format!("127.0.0.1:{}", instance.admin);
    stdout(&[arguments, &["--admin", &admin]].concat())
}

/// An object of a list, by namespace and name.
fn named(list: &Value, namespace: &str, name: &str) -> Value {
    let all = list["items"].as_array().unwrap_or_else(|| panic!("no list: {list}"));
    let found =
        all.iter().find(|one| one["metadata"]["namespace"] == namespace && one["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {namespace}/{name} in {list}")).clone()
}

#[tokio::test]
async fn get_shows_gateways_routes_and_proxies() {
    let Some(mut scene) = Scene::open("get-command").await else { return };
    let _backend = scene.backend("v1").await;
    scene.apply_rules("- backendRefs: [{name: v1, port: 80}]\n").await;
    scene.expect_healthy_route("route").await;
    let json = |what: &str| -> Value {
        serde_json::from_str(&asked(scene.instance, &["get", what, "-o", "json"])).unwrap()
    };
    let gateway = named(&json("gateways"), "infra", "shared");
    assert_eq!(gateway["status"]["addresses"][0]["value"], "127.0.0.1", "{gateway}");
    let route = named(&json("routes"), "get-command", "route");
    assert_eq!(route["status"]["parents"][0]["controllerName"], "fleetgate.dev/gateway", "{route}");
    let proxies = json("proxies");
    let all = proxies["items"].as_array().unwrap();
    let proxy = all.iter().find(|proxy| proxy["gateway"] == "infra/shared").unwrap();
    assert_eq!(proxy["connected"], true, "{proxy}");
    assert!(proxy["ackedRevision"].as_u64().unwrap() > 0, "{proxy}");

    let table = asked(scene.instance, &["get", "routes", "-o", "wide"]);
    let row =
        table.lines().find(|line| line.starts_with("get-command ") && line.contains(" route ")).unwrap();
    assert!(row.contains("shared") && row.contains("True"), "{table}");
    let yaml = asked(scene.instance, &["get", "gateways", "-o", "yaml"]);
    assert!(yaml.contains("name: shared"), "{yaml}");
}

/// What no condition says is hinted at, of every kind of route.
#[tokio::test]
async fn get_hints_at_what_is_not_there() {
    let Some(mut scene) = Scene::open("get-hints").await else { return };
    let _backend = scene.backend("v1").await;
    scene.add(
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: idle, namespace: get-hints}\n\
         spec: {ports: [{port: 80}]}\n\
         ---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: lost, namespace: get-hints}\n\
         spec: {gatewayClassName: nowhere, listeners: [{name: http, port: 80, protocol: HTTP}]}\n\
         ---\napiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: astray, namespace: get-hints}\n\
         spec: {parentRefs: [{name: gone}]}\n",
    );
    let rules = "- backendRefs: [{name: v1, port: 80}]\n\
                 - matches: [{path: {value: /idle}}]\n  backendRefs: [{name: idle, port: 80}]\n";
    scene.apply(&format!("{}{}", scene.route("a", rules), scene.route("b", rules))).await;
    scene.expect_healthy_route("a").await;
    scene.expect_healthy_route("b").await;
    let wide = asked(scene.instance, &["get", "routes", "-o", "wide"]);
    let row = |name: &str| {
        let row =
            wide.lines().find(|line| line.starts_with("get-hints ") && line.contains(&format!(" {name} ")));
        row.unwrap_or_else(|| panic!("no {name}: {wide}")).to_owned()
    };
    let astray = row("astray");
    for word in [
        "GRPCRoute",
        " gone ",
        "False (NoMatchingParent)",
        "Gateway get-hints/gone does not exist; create it",
    ] {
        assert!(astray.contains(word), "{word:?}: {astray}");
    }
    assert!(row("a").contains("Service get-hints/idle has no ready endpoint"), "{wide}");
    let routes: Value =
        serde_json::from_str(&asked(scene.instance, &["get", "routes", "-o", "json"])).unwrap();
    let reasons = |name: &str| -> Vec<String> {
        let hints = named(&routes, "get-hints", name)["hints"].clone();
        hints.as_array().unwrap().iter().map(|hint| hint["reason"].as_str().unwrap().to_owned()).collect()
    };
    // Neither has a time, so the name decides.
    assert_eq!(reasons("a"), ["NoEndpoints"]);
    assert_eq!(reasons("b"), ["NoEndpoints", "Shadowed", "Shadowed"]);
    let gateways = asked(scene.instance, &["get", "gateways", "-o", "wide"]);
    assert!(gateways.contains("GatewayClass nowhere does not exist"), "{gateways}");
}

/// On an instance of its own, so that revisions are its own too.
#[tokio::test]
async fn log_and_diff_show_what_happened_between_revisions() {
    let Some(instance) = Instance::start().await else { return };
    let mut scene = Scene::on(&instance, "log-command");
    let _backends = [scene.backend("v1").await, scene.backend("v2").await];
    scene.apply_rules("- backendRefs: [{name: v1, port: 80}]\n").await;
    let before = instance.status().await["revision"].as_u64().unwrap();
    scene.write(&scene.route("route", "- backendRefs: [{name: v2, port: 80}]\n"));
    let request = crate::harness::Ask::get(&scene.host, "/");
    scene.expect(&request, |answer| answer.brief() == (200, "v2".to_owned())).await;
    let after = instance.status().await["revision"].as_u64().unwrap();
    assert!(after > before);

    let (from, to) = (before.to_string(), after.to_string());
    let log = asked(&instance, &["log", "--since", &from]);
    assert!(
        log.lines().any(|line| line.contains("upsert") && line.contains("HTTPRoute log-command/route")),
        "{log}"
    );
    assert!(log.lines().any(|line| line.contains("delete") && line.contains("zz-applied")), "{log}");
    assert!(!log.contains("Service"), "unchanged objects make no events: {log}");
    assert!(asked(&instance, &["log"]).contains("Gateway infra/shared"));
    for line in asked(&instance, &["log", "-o", "json"]).lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["revision"].is_u64(), "{event}");
    }

    let diff = asked(&instance, &["diff", "--from", &from, "--to", &to]);
    let has = |sign: char, text: &str| diff.lines().any(|line| line.starts_with(sign) && line.contains(text));
    assert!(has('-', "service/log-command/v1/80") && has('+', "service/log-command/v2/80"), "{diff}");
    assert_eq!(asked(&instance, &["diff", "--from", &to, "--to", &to]), "");
    assert_eq!(asked(&instance, &["diff", "--from", &from, "--to", &to, "--gateway", "infra/none"]), "");

    let deltas: Value =
        serde_json::from_str(&instance.page(&format!("/deltas?since={before}")).await).unwrap();
    let delta = &deltas.as_array().unwrap()[0];
    assert!(delta["bytes"].as_u64().unwrap() > 0 && delta["puts"].as_u64().unwrap() > 0, "{deltas}");
}

/// Offline, so it needs no Envoy.
#[test]
fn translate_prints_resources_and_tells_faults_by_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let write = |regex: &str| {
        let text = format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: fleetgate}}
spec: {{controllerName: fleetgate.dev/gateway}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: web, namespace: default}}
spec: {{gatewayClassName: fleetgate, listeners: [{{name: http, port: 8080, protocol: HTTP}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: app, namespace: default}}
spec:
  parentRefs: [{{name: web}}]
  rules:
    - matches: [{{path: {{type: RegularExpression, value: '{regex}'}}}}]
      filters: [{{type: RequestRedirect, requestRedirect: {{scheme: https}}}}]
"
        );
        std::fs::write(dir.path().join("all.yaml"), text).unwrap();
    };
    let config = Path::to_str(dir.path()).unwrap();

    write("/v[0-9]+");
    let all: Value = serde_json::from_str(&stdout(&["translate", "--config", config, "-o", "json"])).unwrap();
    let types: Vec<&str> =
        all["resources"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    for kind in ["Listener", "RouteConfiguration"] {
        assert!(types.iter().any(|full| full.ends_with(&format!(".{kind}"))), "{types:?}");
    }
    let other = stdout(&["translate", "--config", config, "-o", "json", "--gateway", "default/none"]);
    let other: Value = serde_json::from_str(&other).unwrap();
    assert_eq!(other["resources"].as_array().map(Vec::len), Some(0));
    assert!(stdout(&["translate", "--config", config]).contains("listener/8080"));

    write("/v([");
    let output = fleetgate(&["translate", "--config", config]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    let words = "all.yaml:17: HTTPRoute default/app: spec.rules[0].matches[0].path.value: ";
    assert!(told.contains(words), "{told}");

    let output = fleetgate(&["translate", "--config", &format!("{config}/nowhere")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("nowhere"));
}

/// Asked of nobody, it says whom it asked.
#[test]
fn a_missing_server_is_told() {
    let port = crate::harness::free_port();
    let address = format!("127.0.0.1:{port}");
    let output = fleetgate(&["get", "gateways", "--admin", &address]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&address), "{told}");
}
