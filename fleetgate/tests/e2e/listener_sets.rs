//! Listeners that ListenerSets bring to a Gateway.

use crate::harness::{Ask, Scene, free_port, gateway};

fn set(name: &str, namespace: &str, parent: &str, listeners: &[String]) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\n\
         metadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  parentRef: {parent}\n  listeners: [{}]\n",
        listeners.join(", ")
    )
}

fn listener(name: &str, port: u16, hostname: &str) -> String {
    format!("{{name: {name}, port: {port}, protocol: HTTP, hostname: {hostname}}}")
}

/// They come and go without a word of the Gateway's owner, on ports of their own too; each serves the routes that
/// name its set, and no others.
#[tokio::test]
async fn sets_bring_listeners_and_take_them_away() {
    let Some(mut scene) = Scene::open("listener-sets").await else { return };
    let (name, shared, own) = (scene.name.clone(), free_port(), free_port());
    scene.port = shared;
    let allowing = gateway(&name, "web", &[listener("http", shared, &scene.host)])
        + "  allowedListeners: {namespaces: {from: Same}}\n";
    scene.add(&allowing);
    scene.parent = "{name: web}".to_owned();
    let _backends = [scene.backend("gateway").await, scene.backend("set").await];
    let by_gateway = scene.route_for("by-gateway", "[]", "- backendRefs: [{name: gateway, port: 80}]\n");
    let parent = std::mem::replace(&mut scene.parent, "{kind: ListenerSet, name: extra}".to_owned());
    let by_set = scene.route_for("by-set", "[]", "- backendRefs: [{name: set, port: 80}]\n");
    scene.parent = parent;
    let listeners = [
        listener("http", shared, "set.example"),
        listener("own-port", own, "own.example"),
        listener("taken", shared, &scene.host),
    ];
    let extra = set("extra", &name, "{name: web}", &listeners);
    let stranger = set("stranger", "listener-sets-far", "{name: web, namespace: listener-sets}", &listeners);

    scene.apply(&(by_gateway.clone() + &by_set + &extra + &stranger)).await;
    let brief = async |scene: &Scene<'_>, host: &str| scene.ask(&Ask::get(host, "/")).await.brief();
    assert_eq!(brief(&scene, "set.example").await, (200, "set".to_owned()));
    assert_eq!(brief(&scene, &scene.host).await, (200, "gateway".to_owned()));
    assert_eq!(brief(&scene, "own.example").await.0, 404);
    scene.port = own;
    scene.expect(&Ask::get("own.example", "/"), |answer| answer.status == 200).await;
    assert_eq!(brief(&scene, "own.example").await, (200, "set".to_owned()));
    assert_eq!(brief(&scene, "set.example").await.0, 404);
    scene.port = shared;

    scene.expect_condition("ListenerSet", "extra", "", "Accepted=True ListenersNotValid").await;
    scene.expect_condition("ListenerSet", "extra", "", "Programmed=True Programmed").await;
    scene.expect_condition("ListenerSet", "extra", "/listeners/0", "Programmed=True Programmed").await;
    scene.expect_condition("ListenerSet", "extra", "/listeners/2", "Conflicted=True HostnameConflict").await;
    let web = scene.object("Gateway", "web").await.unwrap();
    assert_eq!(web["status"]["attachedListenerSets"], 1, "{web}");
    let far = Scene::on(scene.instance, "listener-sets-far");
    far.expect_condition("ListenerSet", "stranger", "", "Programmed=False NotAllowed").await;

    scene.apply(&(by_gateway + &by_set)).await;
    scene.expect(&Ask::get("set.example", "/"), |answer| answer.status == 404).await;
    assert_eq!(brief(&scene, &scene.host).await, (200, "gateway".to_owned()));
}
