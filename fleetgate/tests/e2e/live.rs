//! Edits while clients ask all the time: every answer is the old one or the new one.

use crate::harness::{Ask, Scene, Traffic, backend_service};

fn to(backend: &str) -> String {
    format!("- backendRefs: [{{name: {backend}, port: 80}}]\n")
}

#[tokio::test]
async fn a_route_changes_its_backend() {
    let Some(mut scene) = Scene::open("swap").await else { return };
    let _backends = [scene.backend("old").await, scene.backend("new").await];
    scene.apply_rules(&to("old")).await;
    let traffic = Traffic::start(scene.port, &Ask::get(&scene.host, "/")).await;
    for name in ["new", "old", "new", "old", "new"] {
        scene.apply_rules(&to(name)).await;
        assert_eq!(scene.get("/").await.echo().pod, name);
        traffic.more(20).await;
    }
    traffic.stop_with_only(&[(200, "old"), (200, "new")]).await;
}

/// Service, endpoints and route come, and go, with one write of the file.
#[tokio::test]
async fn a_route_moves_to_a_service_that_is_new() {
    let Some(mut scene) = Scene::open("new-service").await else { return };
    let _old = scene.backend("old").await;
    let new = loadtest::backend::Backend::start(loadtest::backend::Options::named("new")).await.unwrap();
    scene.apply_rules(&to("old")).await;
    let traffic = Traffic::start(scene.port, &Ask::get(&scene.host, "/")).await;
    for round in 0..4 {
        let service = format!("new-{round}");
        scene
            .apply(&(backend_service(&scene.name, &service, &new) + &scene.route("route", &to(&service))))
            .await;
        assert_eq!(scene.get("/").await.echo().pod, "new");
        traffic.more(10).await;
        scene.apply_rules(&to("old")).await;
        traffic.more(10).await;
    }
    traffic.stop_with_only(&[(200, "old"), (200, "new")]).await;
}

#[tokio::test]
async fn rules_change_places() {
    let Some(mut scene) = Scene::open("reorder").await else { return };
    let _backends = [scene.backend("a").await, scene.backend("b").await];
    let rule = |name: &str, matched: &str| {
        format!("- name: {name}\n  matches: [{matched}]\n  backendRefs: [{{name: {name}, port: 80}}]\n")
    };
    let all = "{path: {value: /}}";
    let (a, b, other) = (rule("a", all), rule("b", all), rule("b", "{path: {value: /other}}"));
    scene.apply_rules(&(a.clone() + &b)).await;
    let traffic = Traffic::start(scene.port, &Ask::get(&scene.host, "/")).await;
    for (rules, first) in [
        (b.clone() + &a, "b"),
        (a.clone() + &b, "a"),
        (other + &a, "a"),
        (a.clone() + &a.replace("name: a\n  matches", "name: a2\n  matches"), "a"),
        (b + &a, "b"),
    ] {
        scene.apply_rules(&rules).await;
        assert_eq!(scene.get("/").await.echo().pod, first);
        traffic.more(10).await;
    }
    traffic.stop_with_only(&[(200, "a"), (200, "b")]).await;
}

#[tokio::test]
async fn weights_change() {
    let Some(mut scene) = Scene::open("reweigh").await else { return };
    let _backends = [scene.backend("a").await, scene.backend("b").await];
    let weighted = |a: u32, b: u32| {
        format!("- backendRefs: [{{name: a, port: 80, weight: {a}}}, {{name: b, port: 80, weight: {b}}}]\n")
    };
    scene.apply_rules(&weighted(1, 1)).await;
    let traffic = Traffic::start(scene.port, &Ask::get(&scene.host, "/")).await;
    for (a, b) in [(1, 0), (0, 1), (9, 1), (1, 0)] {
        scene.apply_rules(&weighted(a, b)).await;
        traffic.more(20).await;
    }
    for _ in 0..20 {
        assert_eq!(scene.get("/").await.echo().pod, "a");
    }
    traffic.stop_with_only(&[(200, "a"), (200, "b")]).await;
}

/// Endpoints are exchanged under a Service; the old one stays up until the new one is in use.
#[tokio::test]
async fn endpoints_are_exchanged() {
    let Some(scene) = Scene::open("exchange").await else { return };
    let mut backends = Vec::new();
    for name in ["a", "b"] {
        let options = loadtest::backend::Options::named(name);
        backends.push(loadtest::backend::Backend::start(options).await.unwrap());
    }
    let with = |index: usize| {
        backend_service(&scene.name, "v1", &backends[index]) + &scene.route("route", &to("v1"))
    };
    scene.apply(&with(0)).await;
    let request = Ask::get(&scene.host, "/");
    let traffic = Traffic::start(scene.port, &request).await;
    for index in [1, 0, 1] {
        scene.write(&with(index));
        let name = ["a", "b"][index];
        scene.expect(&request, |answer| answer.seen().is_some_and(|echo| echo.pod == name)).await;
        traffic.more(10).await;
    }
    traffic.stop_with_only(&[(200, "a"), (200, "b")]).await;
}

/// Routes of other hosts come and go by the dozen; this one does not notice.
#[tokio::test]
async fn others_come_and_go() {
    let Some(mut scene) = Scene::open("others").await else { return };
    let _backend = scene.backend("v1").await;
    let route = scene.route("route", &to("v1"));
    scene.apply(&route).await;
    let traffic = Traffic::start(scene.port, &Ask::get(&scene.host, "/")).await;
    let many: String = (0..30)
        .map(|n| scene.route_for(&format!("r{n}"), &format!("[r{n}.others.example.com]"), &to("v1")))
        .collect();
    for _ in 0..3 {
        scene.apply(&(route.clone() + &many)).await;
        assert_eq!(scene.ask(&Ask::get("r29.others.example.com", "/")).await.status, 200);
        scene.apply(&route).await;
        assert_eq!(scene.ask(&Ask::get("r29.others.example.com", "/")).await.status, 404);
        traffic.more(10).await;
    }
    traffic.stop_with_only(&[(200, "v1")]).await;
}
