//! What only Envoy finds wrong: it refuses the one object, keeps the rest, and takes the mended one.

use crate::harness::{Ask, Instance, Scene, Traffic, free_port, gateway, until};

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
