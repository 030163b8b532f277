//! Which routes a listener takes.

use loadtest::backend::{Backend, Options};

use crate::harness::{Ask, Scene, backend_service, free_port, gateway};

/// By the labels of their namespaces, which may change.
#[tokio::test]
async fn by_namespace_selector() {
    let Some(mut scene) = Scene::open("selector").await else { return };
    scene.port = free_port();
    let listener = format!(
        "{{name: http, port: {}, protocol: HTTP, allowedRoutes: {{namespaces: {{from: Selector, \
         selector: {{matchLabels: {{team: a}}}}}}}}}}",
        scene.port
    );
    let backend = Backend::start(Options::named("v1")).await.unwrap();
    scene.write_file("-gateway", &gateway("selector-infra", "web", &[listener]));
    scene.parent = "{name: web, namespace: selector-infra}".to_owned();
    let namespace = |team: &str| {
        format!(
            "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: selector, labels: {{team: {team}}}}}\n"
        )
    };
    let objects = backend_service("selector", "v1", &backend)
        + &scene.route("route", "- backendRefs: [{name: v1, port: 80}]\n");
    scene.write(&(namespace("a") + &objects));
    scene.expect_status("/", 200).await;
    scene.expect_healthy_route("route").await;

    scene.write(&(namespace("b") + &objects));
    scene.expect_status("/", 404).await;
    scene.expect_condition("HTTPRoute", "route", "/parents/0", "Accepted=False NotAllowedByListeners").await;

    scene.write(&(namespace("a") + &objects));
    scene.expect_status("/", 200).await;
}

/// `Same` is the default; a route of another namespace is refused and says so.
#[tokio::test]
async fn from_the_same_namespace_unless_said_otherwise() {
    let Some(mut scene) = Scene::open("same-namespace").await else { return };
    scene.port = free_port();
    let listener = format!("{{name: http, port: {}, protocol: HTTP}}", scene.port);
    let backend = scene.backend("v1").await;
    scene.write_file("-gateway", &gateway(&scene.name, "web", &[listener]));
    scene.parent = format!("{{name: web, namespace: {}}}", scene.name);
    let rules = "- backendRefs: [{name: v1, port: 80}]\n";
    let near = scene.route_for("near", "[near.example.com]", rules);
    let far = scene.route_for("far", "[far.example.com]", rules).replace(
        &format!("name: far, namespace: {}", scene.name),
        "name: far, namespace: same-namespace-far",
    );
    scene.apply(&(near + &far)).await;
    assert_eq!(scene.ask(&Ask::get("near.example.com", "/")).await.brief(), (200, "v1".to_owned()));
    assert_eq!(scene.ask(&Ask::get("far.example.com", "/")).await.status, 404);
    assert_eq!(backend.seen().len(), 1);
    let mut far = Scene::on(scene.instance, "same-namespace-far");
    far.port = scene.port;
    far.expect_condition("HTTPRoute", "far", "/parents/0", "Accepted=False NotAllowedByListeners").await;
}

/// Parents that are not there: by section name, by port.
#[tokio::test]
async fn to_the_section_and_port_named() {
    let Some(mut scene) = Scene::open("sections").await else { return };
    let [one, two] = [free_port(), free_port()];
    let listeners = [("one", one), ("two", two)]
        .map(|(name, port)| format!("{{name: {name}, port: {port}, protocol: HTTP}}"));
    let _backend = scene.backend("v1").await;
    scene.write_file("-gateway", &gateway(&scene.name, "web", &listeners));
    let rules = "- backendRefs: [{name: v1, port: 80}]\n";
    let mut objects = String::new();
    for (name, parent) in [
        ("by-section", "{name: web, sectionName: two}".to_owned()),
        ("by-port", format!("{{name: web, port: {one}}}")),
        ("by-both", format!("{{name: web, port: {one}, sectionName: two}}")),
        ("by-nothing", "{name: web, sectionName: three}".to_owned()),
    ] {
        scene.parent = parent;
        objects += &scene.route_for(name, &format!("[{name}.example.com]"), rules);
    }
    scene.parent = "{name: web}".to_owned();
    scene.port = two;
    scene.apply(&objects).await;
    for (host, on_one, on_two) in
        [("by-section", 404, 200), ("by-port", 200, 404), ("by-both", 404, 404), ("by-nothing", 404, 404)]
    {
        let request = Ask::get(&format!("{host}.example.com"), "/");
        scene.port = two;
        scene.expect(&request, |answer| answer.status == on_two).await;
        scene.port = one;
        scene.expect(&request, |answer| answer.status == on_one).await;
    }
    let none = "Accepted=False NoMatchingParent";
    scene.expect_condition("HTTPRoute", "by-both", "/parents/0", none).await;
    scene.expect_condition("HTTPRoute", "by-nothing", "/parents/0", none).await;
    let gateway = scene.object("Gateway", "web").await.unwrap();
    let attached = |index: usize| gateway["status"]["listeners"][index]["attachedRoutes"].clone();
    assert_eq!((attached(0), attached(1)), (2.into(), 2.into()), "{gateway}");
}

/// `ListenerStatus.attachedRoutes`: accepted ones alone count, whatever they are refused for.
#[tokio::test]
async fn routes_that_are_not_accepted_do_not_count() {
    let Some(mut scene) = Scene::open("attached-routes").await else { return };
    scene.port = free_port();
    let _backend = scene.backend("v1").await;
    scene.add(&gateway(
        &scene.name,
        "web",
        &[format!("{{name: http, port: {}, protocol: HTTP}}", scene.port)],
    ));
    scene.parent = "{name: web}".to_owned();
    let matching = |value: &str| {
        format!(
            "- matches: [{{path: {{type: RegularExpression, value: '{value}'}}}}]\n  \
             backendRefs: [{{name: v1, port: 80}}]\n"
        )
    };
    let with_bad_hostname = |name: &str| scene.route_for(name, "[Upper.example.com]", &matching("/x"));
    let objects = scene.route("good", &matching("/go+d"))
        + &scene.route("no-regex", &matching("/("))
        + &scene.route("empty-regex", &matching(""))
        + &with_bad_hostname("bad-hostname");
    scene.apply(&objects).await;
    assert_eq!(scene.get("/goood").await.brief(), (200, "v1".to_owned()));
    for (route, condition) in [
        ("no-regex", "Accepted=False UnsupportedValue"),
        ("empty-regex", "Accepted=False UnsupportedValue"),
        ("bad-hostname", "Accepted=False NoMatchingListenerHostname"),
    ] {
        scene.expect_condition("HTTPRoute", route, "/parents/0", condition).await;
    }
    let status = scene.object("Gateway", "web").await.unwrap()["status"].clone();
    assert_eq!(status["listeners"][0]["attachedRoutes"], 2, "with the one of this test: {status}");
}
