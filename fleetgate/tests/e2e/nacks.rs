//! What only Envoy finds wrong: it refuses the one object, keeps the rest, and takes the mended one.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use crate::harness::{Ask, Instance, Scene, Traffic, ask, free_port, gateway, until};

const GOOD: &str = "- backendRefs: [{name: v1, port: 80}]\n";

/// A regular expression that is one, but with more repetitions than Envoy's engine takes.
#[tokio::test]
async fn a_route_that_envoy_refuses_hurts_only_itself() {
    let Some(instance) = Instance::start().await else { return };
    let mut good = Scene::on(&instance, "good");
    let _backend = good.backend("v1").await;
    good.apply_rules(GOOD).await;
    let traffic = Traffic::start(good.port, &Ask::get(&good.host, "/")).await;

    let mut bad = Scene::on(&instance, "bad");
    let _other = bad.backend("v1").await;
    bad.apply_rules(GOOD).await;
    let poison = "- matches: [{path: {type: RegularExpression, value: '/x{1001}'}}]\n  \
                  backendRefs: [{name: v1, port: 80}]\n";
    bad.write(&bad.route("route", poison));
    bad.expect_condition("HTTPRoute", "route", "/parents/0", "Accepted=False UnsupportedValue").await;
    assert_eq!(bad.get("/").await.brief(), (200, "v1".to_owned()), "Envoy keeps the last good version");
    assert!(instance.metric("fleetgate_xds_nacks_total").await >= 1.0);

    // Others change on while it is refused.
    good.apply_rules("- matches: [{path: {value: /}}]\n  backendRefs: [{name: v1, port: 80}]\n").await;
    good.expect_healthy_route("route").await;

    bad.apply_rules(&GOOD.replace("- backendRefs", "- matches: [{path: {value: /new}}]\n  backendRefs"))
        .await;
    assert_eq!((bad.get("/new").await.status, bad.get("/").await.status), (200, 404));
    bad.expect_healthy_route("route").await;
    until("nothing is wrong any more", async || match instance.metric("fleetgate_faults").await {
        0.0 => Ok(()),
        faults => Err(format!("{faults} faults")),
    })
    .await;
    traffic.stop_with_only(&[(200, "v1")]).await;
}

/// Two Gateways on one port: the second is told, and serves once it has another.
#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let Some(mut scene) = Scene::open("taken-port").await else { return };
    let _backend = scene.backend("v1").await;
    let web =
        |port: u16| gateway("taken-port", "web", &[format!("{{name: http, port: {port}, protocol: HTTP}}")]);
    scene.parent = "{name: web}".to_owned();
    let route = scene.route("route", GOOD);
    scene.write(&(web(scene.port) + &route));
    scene.expect_condition("Gateway", "web", "/listeners/0", "Programmed=False Invalid").await;
    assert_eq!(scene.get("/").await.status, 404, "the first Gateway keeps the port");
    scene.port = free_port();
    scene.write(&(web(scene.port) + &route));
    scene.expect_status("/", 200).await;
    scene.expect_condition("Gateway", "web", "/listeners/0", "Programmed=True Programmed").await;
}

/// What `/readyz` says is missing.
async fn unready(instance: &Instance) -> String {
    let answer = ask(instance.admin, &Ask::get("localhost", "/readyz")).await.unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// In one write a route of one listener gets a regular expression that Envoy refuses, and a route of another listener
/// another backend.
#[tokio::test]
async fn a_refused_route_condemns_none_of_another_listener() {
    let Some(instance) = Instance::start().await else { return };
    let mut scene = Scene::on(&instance, "condemned");
    let _backends = (scene.backend("v1").await, scene.backend("v2").await);
    let ports = [free_port(), free_port()];
    let listeners = ["one", "two"].iter().zip(ports);
    let listeners: Vec<String> =
        listeners.map(|(name, port)| format!("{{name: {name}, port: {port}, protocol: HTTP}}")).collect();
    let write = |scene: &mut Scene<'_>, rx: &str, ry: &str| {
        let mut text = gateway("condemned", "web", &listeners);
        for (name, listener, rules) in [("rx", "one", rx), ("ry", "two", ry)] {
            scene.parent = format!("{{name: web, sectionName: {listener}}}");
            text += &scene.route(name, rules);
        }
        scene.write(&text);
    };
    let answers = async |scene: &mut Scene<'_>, index: usize, body: &str| {
        scene.port = ports[index];
        scene.expect(&Ask::get(&scene.host, "/"), |answer| answer.brief() == (200, body.to_owned())).await;
    };
    let (v1, v2) = (GOOD.to_owned(), GOOD.replace("v1", "v2"));
    write(&mut scene, &v1, &v1);
    answers(&mut scene, 0, "v1").await;
    answers(&mut scene, 1, "v1").await;

    let poison = v2.replace("- ", "- matches: [{path: {type: RegularExpression, value: '/a{1001}'}}]\n  ");
    write(&mut scene, &poison, &v2);
    answers(&mut scene, 1, "v2").await;
    scene.expect_condition("HTTPRoute", "rx", "/parents/0", "Accepted=False UnsupportedValue").await;
    scene.expect_healthy_route("ry").await;
    answers(&mut scene, 0, "v1").await;
    let ready = unready(&instance).await;
    assert!(ready.contains("condemned/web"), "{ready}");

    write(&mut scene, &v2, &v1);
    answers(&mut scene, 0, "v2").await;
    answers(&mut scene, 1, "v1").await;
    scene.expect_healthy_route("rx").await;
    scene.expect_healthy_route("ry").await;
}

/// Another process holds the port when the listener comes, and lets it go later.
#[tokio::test]
async fn a_port_that_is_taken_for_a_moment_heals_by_itself() {
    let Some(instance) = Instance::start().await else { return };
    let mut scene = Scene::on(&instance, "moment");
    let _backend = scene.backend("v1").await;
    let (port, other) = (free_port(), free_port());
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    scene.port = other;
    scene.parent = "{name: web}".to_owned();
    let listeners = [("taken", port), ("other", other)]
        .map(|(name, port)| format!("{{name: {name}, port: {port}, protocol: HTTP}}"));
    scene.write(&(gateway("moment", "web", &listeners) + &scene.route("route", GOOD)));
    scene.expect_condition("Gateway", "web", "/listeners/0", "Programmed=False Invalid").await;
    scene.expect_condition("Gateway", "web", "/listeners/1", "Programmed=True Programmed").await;
    scene.expect_condition("Gateway", "web", "", "Programmed=False Invalid").await;
    scene.expect_status("/", 200).await;
    let gateway = scene.object("Gateway", "web").await.unwrap();
    let message = gateway["status"]["listeners"][0]["conditions"].to_string();
    assert!(message.contains("taken by another process") && message.contains("tried again"), "{message}");
    let status = instance.status().await;
    assert!(!status["faults"].to_string().contains("correct the object"), "{}", status["faults"]);
    let ready = unready(&instance).await;
    assert!(ready.contains("taken by another process"), "{ready}");
    let log = instance.log();
    let mut told = log.lines().filter(|line| line.contains("taken by another process")).peekable();
    assert!(told.peek().is_some() && told.all(|line| line.contains("by itself")), "{log}");

    drop(holder);
    scene.port = port;
    scene.expect_status("/", 200).await;
    scene.expect_condition("Gateway", "web", "/listeners/0", "Programmed=True Programmed").await;
    scene.expect_condition("Gateway", "web", "", "Programmed=True Programmed").await;
    until("nothing is wrong any more", async || match instance.metric("fleetgate_faults").await {
        0.0 => Ok(()),
        faults => Err(format!("{faults} faults")),
    })
    .await;
}

/// A short cut of `loadtest refusals`: random good and bad edits, with small tables and with whole ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_refusals_hurt_only_themselves() {
    let Some(_) = needs::envoy() else { return };
    let loadtest = Path::new(env!("CARGO_BIN_EXE_fleetgate")).with_file_name("loadtest");
    let edits = if std::env::var_os("FLEETGATE_QUICK").is_some() { "110" } else { "240" };
    let mut command = Command::new(&loadtest);
    command.args(["refusals", "--edits", edits, "--seed", "1"]);
    let run =
        tokio::task::spawn_blocking(move || command.env_remove("LD_LIBRARY_PATH").output()).await.unwrap();
    let run = run.unwrap_or_else(|error| panic!("{}: {error}: cargo build -p loadtest", loadtest.display()));
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}");
}
