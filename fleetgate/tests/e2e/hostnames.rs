//! Hostnames of listeners and routes: where they meet, and who answers.

use crate::harness::{Ask, Scene, free_port, gateway};

/// Answers of one port: host, path, status and backend.
async fn check(scene: &Scene<'_>, cases: &[(&str, &str, u16, &str)]) {
    for (host, path, status, backend) in cases {
        let answer = scene.ask(&Ask::get(host, path)).await;
        assert_eq!(answer.brief(), (*status, (*backend).to_owned()), "{host}{path}");
        if let Some(seen) = answer.seen() {
            assert_eq!(seen.host, *host);
        }
    }
}

fn listener(name: &str, port: u16, hostname: &str) -> String {
    let hostname = if hostname.is_empty() { String::new() } else { format!(", hostname: '{hostname}'") };
    format!("{{name: {name}, port: {port}, protocol: HTTP{hostname}}}")
}

fn to(backend: &str) -> String {
    format!("- backendRefs: [{{name: {backend}, port: 80}}]\n")
}

/// A scene with a Gateway of its own; the scene's host is one that its routes do not use.
async fn scene(name: &str, hostnames: &[&str]) -> Option<Scene<'static>> {
    let mut scene = Scene::open(name).await?;
    scene.port = free_port();
    let mut listeners: Vec<String> = hostnames
        .iter()
        .enumerate()
        .map(|(index, hostname)| listener(&format!("l{index}"), scene.port, hostname))
        .collect();
    scene.host = "applied.test".to_owned();
    listeners.push(listener("applied", scene.port, "applied.test"));
    scene.add(&gateway(name, "web", &listeners));
    scene.parent = "{name: web}".to_owned();
    Some(scene)
}

#[tokio::test]
async fn a_route_serves_where_it_meets_the_listener() {
    let names = ["very.specific.com", "*.wild.io", "*.any.com"];
    let Some(mut scene) = scene("intersection", &names).await else { return };
    let _backends = [scene.backend("exact").await, scene.backend("wild").await, scene.backend("sub").await];
    let objects =
        scene.route_for("exact", "[non.matching.com, '*.nope.io', very.specific.com]", &to("exact"))
            + &scene.route_for("wild", "['*.specific.com', bar.wild.io, foo.bar.wild.io]", &to("wild"))
            + &scene.route_for("sub", "['*.sub.any.com', '*.com']", &to("sub"))
            + &scene.route_for("none", "[wild.io, any.com]", &to("sub"));
    scene.apply(&objects).await;
    check(
        &scene,
        &[
            ("very.specific.com", "/", 200, "exact"),
            ("VERY.specific.com", "/", 200, "exact"),
            ("very.specific.com:1234", "/", 200, "exact"),
            ("non.matching.com", "/", 404, ""),
            ("other.specific.com", "/", 404, ""),
            ("x.nope.io", "/", 404, ""),
            ("bar.wild.io", "/", 200, "wild"),
            ("foo.bar.wild.io", "/", 200, "wild"),
            ("baz.wild.io", "/", 404, ""),
            ("wild.io", "/", 404, ""),
            ("a.sub.any.com", "/", 200, "sub"),
            ("a.any.com", "/", 200, "sub"),
            ("any.com", "/", 404, ""),
        ],
    )
    .await;
    let none = "Accepted=False NoMatchingListenerHostname";
    scene.expect_condition("HTTPRoute", "none", "/parents/0", none).await;
    scene.expect_healthy_route("exact").await;
    scene.expect_healthy_route("wild").await;
}

/// A host belongs to its most specific listener; no less specific listener's routes answer for it.
#[tokio::test]
async fn listeners_are_isolated() {
    let names = ["", "*.example.com", "*.foo.example.com", "abc.foo.example.com"];
    let Some(mut scene) = scene("isolation", &names).await else { return };
    let mut backends = Vec::new();
    let mut objects = String::new();
    for (index, name) in ["empty", "wild", "foo", "abc"].into_iter().enumerate() {
        backends.push(scene.backend(name).await);
        scene.parent = format!("{{name: web, sectionName: l{index}}}");
        let rule = format!(
            "- matches: [{{path: {{value: /{name}}}}}]\n  backendRefs: [{{name: {name}, port: 80}}]\n"
        );
        objects += &scene.route_for(name, "[]", &rule);
    }
    scene.parent = "{name: web, sectionName: applied}".to_owned();
    scene.apply(&objects).await;
    let hosts = [
        ("bar.com", "empty"),
        ("bar.example.com", "wild"),
        ("bar.foo.example.com", "foo"),
        ("abc.foo.example.com", "abc"),
    ];
    for (host, owner) in hosts {
        for (_, path) in hosts {
            let (status, backend) = if path == owner { (200, owner) } else { (404, "") };
            check(&scene, &[(host, &format!("/{path}"), status, backend)]).await;
        }
    }
}

/// Of routes that meet the listener in one hostname, that of the more specific hostname goes first, and
/// what it does not match falls through to the wider one.
#[tokio::test]
async fn requests_fall_through_to_wider_hostnames() {
    let Some(mut scene) = scene("fall-through", &["abc.example.com", "*.other.com"]).await else { return };
    let _backends =
        [scene.backend("wide").await, scene.backend("narrow").await, scene.backend("widest").await];
    let rule = |path: &str, backend: &str| {
        format!("- matches: [{{path: {{value: {path}}}}}]\n  backendRefs: [{{name: {backend}, port: 80}}]\n")
    };
    let objects = scene.route_for(
        "a-wide",
        "['*.example.com']",
        &(rule("/both/longer", "wide") + &rule("/wide", "wide")),
    ) + &scene.route_for("b-narrow", "[abc.example.com]", &rule("/both", "narrow"))
        + &scene.route_for("c-widest", "[]", &rule("/", "widest"))
        + &scene.route_for("d-x", "[x.other.com]", &rule("/x", "narrow"))
        + &scene.route_for("e-any", "['*.other.com']", &rule("/any", "wide"));
    scene.apply(&objects).await;
    check(
        &scene,
        &[
            ("abc.example.com", "/both", 200, "narrow"),
            ("abc.example.com", "/both/longer", 200, "narrow"),
            ("abc.example.com", "/wide", 200, "wide"),
            ("abc.example.com", "/rest", 200, "widest"),
            ("x.other.com", "/x", 200, "narrow"),
            ("x.other.com", "/any", 200, "wide"),
            ("x.other.com", "/rest", 200, "widest"),
            ("y.other.com", "/x", 200, "widest"),
            ("y.other.com", "/any", 200, "wide"),
        ],
    )
    .await;
}
