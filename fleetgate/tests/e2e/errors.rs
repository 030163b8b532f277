//! 404, 500 and 503, as the Gateway API says.

use crate::harness::{Ask, Scene, service};

#[tokio::test]
async fn no_match_is_404() {
    let Some(mut scene) = Scene::open("not-found").await else { return };
    let backend = scene.backend("v1").await;
    scene
        .apply_rules("- matches: [{path: {type: Exact, value: /x}}]\n  backendRefs: [{name: v1, port: 80}]\n")
        .await;
    assert_eq!(scene.get("/y").await.status, 404);
    assert_eq!(scene.ask(&Ask::get("nobody.example.net", "/x")).await.status, 404);
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn no_usable_backend_is_500() {
    let Some(mut scene) = Scene::open("no-backend").await else { return };
    let _backend = scene.backend("v1").await;
    scene
        .apply_rules(
            "- matches: [{path: {value: /none}}]
- matches: [{path: {value: /empty}}]
  backendRefs: []
- matches: [{path: {value: /missing}}]
  backendRefs: [{name: nowhere, port: 80}]
- matches: [{path: {value: /port}}]
  backendRefs: [{name: v1, port: 81}]
- matches: [{path: {value: /kind}}]
  backendRefs: [{group: example.com, kind: Bucket, name: v1, port: 80}]
- matches: [{path: {value: /all-zero}}]
  backendRefs: [{name: v1, port: 80, weight: 0}]
- matches: [{path: {value: /good}}]
  backendRefs: [{name: v1, port: 80}]
",
        )
        .await;
    for path in ["/none", "/empty", "/missing", "/port", "/kind", "/all-zero"] {
        assert_eq!(scene.get(path).await.status, 500, "{path}");
    }
    assert_eq!(scene.get("/good").await.brief(), (200, "v1".to_owned()));
    scene.expect_condition("HTTPRoute", "route", "/parents/0", "Accepted=True Accepted").await;
    scene.expect_condition("HTTPRoute", "route", "/parents/0", "ResolvedRefs=False BackendNotFound").await;
}

#[tokio::test]
async fn an_unknown_kind_of_backend_has_its_reason() {
    let Some(scene) = Scene::open("bad-kind").await else { return };
    let rules = "- backendRefs: [{group: example.com, kind: Bucket, name: b}]\n";
    scene.apply_rules(rules).await;
    assert_eq!(scene.get("/").await.status, 500);
    scene.expect_condition("HTTPRoute", "route", "/parents/0", "ResolvedRefs=False InvalidKind").await;
}

/// A Service without endpoints answers 503 until it has some, and again when they are gone.
#[tokio::test]
async fn no_endpoints_is_503() {
    let Some(mut scene) = Scene::open("no-endpoints").await else { return };
    let backend = scene.backend("v1").await;
    let rules = "- backendRefs: [{name: sometimes, port: 80}]\n";
    let with = |ports: &[u16]| service(&scene.name, "sometimes", "", ports) + &scene.route("route", rules);
    scene.apply(&with(&[])).await;
    assert_eq!(scene.get("/").await.status, 503);
    scene.expect_healthy_route("route").await;
    scene.apply(&with(&[backend.addr.port()])).await;
    scene.expect_status("/", 200).await;
    scene.apply(&with(&[])).await;
    scene.expect_status("/", 503).await;
}
