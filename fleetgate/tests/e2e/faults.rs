//! One bad object or file hurts only itself, is told with its place, and heals when it is mended.

use serde_json::Value;

use crate::harness::{Ask, Instance, Scene, Traffic, free_port, gateway, service, until};

const GOOD: &str = "- backendRefs: [{name: v1, port: 80}]\n";

/// A fault of `/status` in a file.
async fn fault(instance: &Instance, file: &str) -> Result<Value, String> {
    let faults = instance.status().await["faults"].clone();
    let found = faults
        .as_array()
        .unwrap()
        .iter()
        .find(|fault| fault["file"].as_str().is_some_and(|place| place.ends_with(file)));
    found.cloned().ok_or_else(|| format!("no fault of {file} in {faults}"))
}

/// Waits for a fault, and for the log line that names its place.
async fn expect_fault(instance: &Instance, file: &str, line: u64, words: &[&str]) {
    let found = until(&format!("a fault at {file}:{line}"), async || {
        let fault = fault(instance, file).await?;
        if fault["line"] == line { Ok(fault) } else { Err(fault.to_string()) }
    })
    .await;
    for word in words {
        assert!(found.to_string().contains(word), "no {word:?} in {found}");
    }
    assert!(!found["remedy"].as_str().unwrap().is_empty());
    let place = format!("{file}:{line}: ");
    until("a line of the log", async || {
        let log = instance.log();
        let told =
            log.lines().any(|line| line.contains(&place) && words.iter().all(|word| line.contains(word)));
        if told { Ok(()) } else { Err(format!("no {place:?} with {words:?} in\n{log}")) }
    })
    .await;
}

async fn expect_mended(instance: &Instance, file: &str) {
    until(&format!("{file} is mended"), async || match fault(instance, file).await {
        Err(_) => Ok(()),
        Ok(fault) => Err(fault.to_string()),
    })
    .await;
    let faults =
        (instance.metric("fleetgate_faults").await, instance.metric("fleetgate_source_faults").await);
    assert_eq!(faults, (0.0, 0.0));
    assert!(instance.log().contains("mended: "), "{}", instance.log());
}

/// Everything in one instance of its own, so that the counts of faults are its own too.
#[tokio::test]
async fn hurt_only_themselves_and_heal() {
    let Some(instance) = Instance::start().await else { return };
    let mut good = Scene::on(&instance, "good");
    let _backend = good.backend("v1").await;
    good.apply_rules(GOOD).await;
    let traffic = Traffic::start(good.port, &Ask::get(&good.host, "/")).await;

    let mut bad = Scene::on(&instance, "bad");
    let _other = bad.backend("v1").await;
    bad.apply_rules(GOOD).await;
    let healthy = bad.route("route", GOOD);
    let mend = async || {
        bad.apply(&healthy).await;
        expect_mended(&instance, "bad.yaml").await;
        assert_eq!(bad.get("/").await.status, 200);
    };

    broken_yaml(&instance, &bad).await;
    mend().await;
    bad_regex(&instance, &bad).await;
    mend().await;
    unknown_field(&instance, &bad).await;
    mend().await;
    bad_hostname(&instance, &bad).await;
    mend().await;
    duplicate(&instance, &bad, &healthy).await;
    mend().await;

    traffic.stop_with_only(&[(200, "v1")]).await;
}

/// The whole file cannot be read: what it last said stays in force.
async fn broken_yaml(instance: &Instance, bad: &Scene<'_>) {
    bad.write_file("", "kind: HTTPRoute\nspec: {unclosed: [1, 2\n");
    let found = until("a fault of the file", async || fault(instance, "bad.yaml").await).await;
    assert!(found["line"].is_u64(), "{found}");
    assert_eq!(instance.metric("fleetgate_source_faults").await, 1.0);
    assert_eq!(bad.get("/").await.status, 200, "the last good state serves on");
}

/// One match of two is bad: it matches nothing, the other works.
async fn bad_regex(instance: &Instance, bad: &Scene<'_>) {
    let rules = "- matches: [{path: {type: RegularExpression, value: '/x(['}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{path: {value: /fine}}]
  backendRefs: [{name: v1, port: 80}]
";
    let text = bad.route("route", rules);
    bad.apply(&text).await;
    let line = line_of(instance, "bad.yaml", "/x([");
    let words = ["spec.rules[0].matches[0].path.value", "HTTPRoute bad/route"];
    expect_fault(instance, "bad.yaml", line, &words).await;
    assert_eq!(bad.get("/fine").await.status, 200);
    assert_eq!(bad.get("/x(").await.status, 404);
    assert_eq!(instance.metric("fleetgate_faults").await, 1.0);
    bad.expect_condition("HTTPRoute", "route", "/parents/0", "PartiallyInvalid=True UnsupportedValue").await;
}

/// A misspelt field is told with its line.
async fn unknown_field(instance: &Instance, bad: &Scene<'_>) {
    bad.write(&bad.route("route", "- backendRefz: [{name: v1, port: 80}]\n"));
    let line = line_of(instance, "bad.yaml", "backendRefz");
    expect_fault(instance, "bad.yaml", line, &["backendRefz", "HTTPRoute bad/route"]).await;
}

async fn bad_hostname(instance: &Instance, bad: &Scene<'_>) {
    bad.write(&bad.route_for("route", "\n    - bad.example.com\n    - not_a_host", GOOD));
    let line = line_of(instance, "bad.yaml", "not_a_host");
    expect_fault(instance, "bad.yaml", line, &["spec.hostnames[1]", "not_a_host"]).await;
    assert_eq!(bad.get("/").await.status, 200, "the other hostname serves");
}

/// The same object twice: the first counts, the second is told.
async fn duplicate(instance: &Instance, bad: &Scene<'_>, healthy: &str) {
    bad.write_file("-again", healthy);
    until("a fault of one of the two", async || fault(instance, ".yaml").await).await;
    assert_eq!(bad.get("/").await.status, 200);
    bad.remove_file("-again");
}

/// The line of a file of the instance that has a text.
fn line_of(instance: &Instance, file: &str, text: &str) -> u64 {
    let written = std::fs::read_to_string(instance.config().join(file)).unwrap();
    let index = written.lines().position(|line| line.contains(text)).unwrap();
    u64::try_from(index).unwrap() + 1
}

/// As Helm templates leave them: a field whose value is null is absent, as for an API server.
#[tokio::test]
async fn fields_without_a_value_are_no_faults() {
    let Some(mut scene) = Scene::open("nulls").await else { return };
    let _backend = scene.backend("v1").await;
    scene.port = free_port();
    let gateway =
        gateway(&scene.name, "web", &[format!("{{name: http, port: {}, protocol: HTTP}}", scene.port)])
            .replace("protocol: HTTP}", "protocol: HTTP, hostname: , tls: ~, allowedRoutes: null}")
            .replace("spec:\n", "spec:\n  addresses:\n  infrastructure:\n");
    scene.parent = "{name: web, sectionName: , port: null}".to_owned();
    let route = scene.route_for(
        "route",
        "",
        "- name:
  matches:
  - path: ~
    headers:
    queryParams:
    method:
  filters:
  timeouts:
    request:
  retry:
  backendRefs:
  - {name: v1, port: 80, weight: , filters: , namespace: }
",
    );
    let ending = service(&scene.name, "ending", "", &[1]).replace("{ready: true}", "");
    scene.apply(&(gateway + &ending + &route)).await;
    assert_eq!(scene.ask(&Ask::get("any.example.org", "/")).await.brief(), (200, "v1".to_owned()));
    scene.expect_healthy_route("route").await;
    let faults = scene.instance.status().await["faults"].to_string();
    assert!(!faults.contains("nulls"), "{faults}");
}
