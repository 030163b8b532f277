//! A GatewayClass that goes, or is not there yet, while its Gateway serves.

use crate::harness::{Ask, Instance, Scene, Traffic, ask, until};

const RULES: &str = "- backendRefs: [{name: v1, port: 80}]\n";
const MORE: &str = "- matches: [{path: {value: /more}}]\n  backendRefs: [{name: v1, port: 80}]\n";

/// What the Gateway says of its acceptance.
async fn accepted(instance: &Instance) -> String {
    let status = instance.status().await;
    let objects = status["objects"].as_array().unwrap();
    let gateway = objects.iter().find(|object| object["kind"] == "Gateway").unwrap();
    gateway["status"]["conditions"][0]["message"].as_str().unwrap().to_owned()
}

async fn says(instance: &Instance, what: &str, wanted: bool) {
    until(&format!("the Gateway says {what:?}: {wanted}"), async || {
        let message = accepted(instance).await;
        if message.contains(what) == wanted { Ok(()) } else { Err(message) }
    })
    .await;
}

#[tokio::test]
async fn a_class_that_goes_takes_no_gateway_with_it() {
    let Some(instance) = Instance::start().await else { return };
    let mut scene = Scene::on(&instance, "classless");
    let _backend = scene.backend("v1").await;
    scene.apply_rules(RULES).await;
    let envoy = instance.envoy_pid("infra_shared");
    let traffic = Traffic::start(instance.http, &Ask::get("classless.example.com", "/")).await;
    let text = std::fs::read_to_string(instance.config().join("gateway.yaml")).unwrap();
    let (class, gateway) = text.split_once("---").unwrap();

    instance.write("gateway.yaml", gateway);
    says(&instance, "GatewayClass fleetgate does not exist", true).await;
    assert!(instance.metric("fleetgate_faults").await >= 1.0);
    // Changes go on.
    scene.apply_rules(&format!("{MORE}{RULES}")).await;
    assert_eq!(scene.expect_status("/more", 200).await.echo().pod, "v1");
    instance.write("gateway.yaml", &text);
    says(&instance, "does not exist", false).await;

    // The Gateway first, then the class that it names.
    instance.write("gateway.yaml", &text.replace("gatewayClassName: fleetgate", "gatewayClassName: other"));
    says(&instance, "GatewayClass other does not exist", true).await;
    instance.write("other.yaml", &class.replace("name: fleetgate", "name: other"));
    says(&instance, "does not exist", false).await;
    traffic.more(20).await;
    traffic.stop_with_only(&[(200, "v1")]).await;
    assert_eq!(instance.envoy_pid("infra_shared"), envoy);

    // With its Gateway it is let go.
    instance.write("gateway.yaml", class);
    let port = instance.http;
    until("the Gateway is gone", async || match ask(port, &Ask::get("classless.example.com", "/")).await {
        Ok(answer) => Err(format!("{answer:?}")),
        Err(_) => Ok(()),
    })
    .await;
}
