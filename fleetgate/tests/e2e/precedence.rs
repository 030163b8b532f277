//! Which route answers when several match.

use crate::harness::{Ask, Scene};

/// Each rule stands after those it must win against.
#[tokio::test]
async fn within_a_route_by_kind_length_method_headers_and_query() {
    let Some(mut scene) = Scene::open("precedence").await else { return };
    let mut backends = Vec::new();
    for name in ["root", "prefix", "longer", "method", "header", "headers", "query", "exact"] {
        backends.push(scene.backend(name).await);
    }
    scene
        .apply_rules(
            "- backendRefs: [{name: root, port: 80}]
- matches: [{path: {type: PathPrefix, value: /a}}]
  backendRefs: [{name: prefix, port: 80}]
- matches: [{path: {type: PathPrefix, value: /a}, queryParams: [{name: q, value: '1'}]}]
  backendRefs: [{name: query, port: 80}]
- matches: [{path: {type: PathPrefix, value: /a}, headers: [{name: x, value: '1'}]}]
  backendRefs: [{name: header, port: 80}]
- matches: [{path: {type: PathPrefix, value: /a}, headers: [{name: z, value: '1'}, {name: x, value: '1'}]}]
  backendRefs: [{name: headers, port: 80}]
- matches: [{path: {type: PathPrefix, value: /a}, method: PUT}]
  backendRefs: [{name: method, port: 80}]
- matches: [{path: {type: PathPrefix, value: /a/b}}]
  backendRefs: [{name: longer, port: 80}]
- matches: [{path: {type: Exact, value: /a/b}}]
  backendRefs: [{name: exact, port: 80}]
",
        )
        .await;
    let get = |path: &str| Ask::get(&scene.host, path);
    let with_all = |path: &str| get(path).method("PUT").header("x", "1").header("z", "1");
    for (request, backend) in [
        (get("/"), "root"),
        (get("/ab"), "root"),
        (get("/a"), "prefix"),
        (get("/a?q=1"), "query"),
        (get("/a?q=1").header("x", "1"), "header"),
        (get("/a?q=1").header("x", "1").header("z", "1"), "headers"),
        (with_all("/a?q=1"), "method"),
        (with_all("/a/b/c?q=1"), "longer"),
        (with_all("/a/b?q=1"), "exact"),
    ] {
        assert_eq!(scene.ask(&request).await.brief(), (200, backend.to_owned()), "{request:?}");
    }
}

#[tokio::test]
async fn between_routes_by_match_then_age_then_name() {
    let Some(mut scene) = Scene::open("between").await else { return };
    let _backends = [scene.backend("first").await, scene.backend("second").await];
    let rules = |path: &str, backend: &str| {
        format!(
            "- matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n  \
             backendRefs: [{{name: {backend}, port: 80}}]\n"
        )
    };
    let by_name = scene.route("a", &rules("/same", "first")) + &scene.route("b", &rules("/same", "second"));
    scene.apply(&by_name).await;
    assert_eq!(scene.get("/same").await.echo().pod, "first", "the first by name");

    let aged = |text: &str, name: &str, year: u32| {
        let stamp = format!("{{creationTimestamp: '{year}-01-01T00:00:00Z', name: {name},");
        text.replace(&format!("{{name: {name},"), &stamp)
    };
    scene.apply(&aged(&aged(&by_name, "a", 2026), "b", 2025)).await;
    assert_eq!(scene.get("/same").await.echo().pod, "second", "the older");

    let longer =
        scene.route("a", &rules("/same", "first")) + &scene.route("b", &rules("/same/more", "second"));
    scene.apply(&longer).await;
    assert_eq!(scene.get("/same").await.echo().pod, "first");
    assert_eq!(scene.get("/same/more").await.echo().pod, "second", "the longer path of another route");
}

/// A rule whose backend is missing answers 500; no later rule takes its place.
#[tokio::test]
async fn an_invalid_first_rule_is_not_skipped() {
    let Some(mut scene) = Scene::open("not-skipped").await else { return };
    let _backend = scene.backend("v1").await;
    scene
        .apply_rules(
            "- matches: [{path: {type: PathPrefix, value: /x}}]
  backendRefs: [{name: nowhere, port: 80}]
- matches: [{path: {type: PathPrefix, value: /x}}]
  backendRefs: [{name: v1, port: 80}]
",
        )
        .await;
    assert_eq!(scene.get("/x").await.status, 500);
}
