//! Matches of one route: path, header, query parameter, method.

use crate::harness::{Ask, Scene};

async fn answers(scene: &Scene<'_>, cases: &[(Ask, &str)]) {
    for (request, backend) in cases {
        let answer = scene.ask(request).await;
        let status = if backend.is_empty() { 404 } else { 200 };
        assert_eq!(answer.brief(), (status, (*backend).to_owned()), "{request:?}");
        if let Some(seen) = answer.seen() {
            assert_eq!((&seen.path, seen.method.as_str()), (&request.path, request.method));
            assert_eq!(seen.host, request.host);
        }
    }
}

#[tokio::test]
async fn paths() {
    let Some(mut scene) = Scene::open("paths").await else { return };
    let _backends = [
        scene.backend("exact").await,
        scene.backend("prefix").await,
        scene.backend("slash").await,
        scene.backend("regex").await,
    ];
    scene
        .apply_rules(
            "- matches: [{path: {type: Exact, value: /exact}}]
  backendRefs: [{name: exact, port: 80}]
- matches: [{path: {type: PathPrefix, value: /prefix}}]
  backendRefs: [{name: prefix, port: 80}]
- matches: [{path: {type: PathPrefix, value: /slash/}}]
  backendRefs: [{name: slash, port: 80}]
- matches: [{path: {type: RegularExpression, value: '/v[0-9]+/x.*'}}]
  backendRefs: [{name: regex, port: 80}]
",
        )
        .await;
    let get = |path: &str| Ask::get(&scene.host, path);
    let cases = [
        (get("/exact"), "exact"),
        (get("/exact?q=1"), "exact"),
        (get("/exact/"), ""),
        (get("/exact/more"), ""),
        (get("/Exact"), ""),
        (get("/prefix"), "prefix"),
        (get("/prefix/"), "prefix"),
        (get("/prefix?q=1"), "prefix"),
        (get("/prefix/more"), "prefix"),
        (get("/prefixmore"), ""),
        (get("/slash"), "slash"),
        (get("/slash/"), "slash"),
        (get("/slash/more"), "slash"),
        (get("/slashmore"), ""),
        (get("/v12/xyz"), "regex"),
        (get("/v12/x?y=/z"), "regex"),
        (get("/v/xyz"), ""),
        (get("/a/v12/xyz"), ""),
        (get("/"), ""),
    ];
    answers(&scene, &cases).await;
    scene.expect_healthy_route("route").await;
}

#[tokio::test]
async fn headers() {
    let Some(mut scene) = Scene::open("header-match").await else { return };
    let _backends = [scene.backend("one").await, scene.backend("both").await, scene.backend("regex").await];
    scene
        .apply_rules(
            "- matches: [{headers: [{name: Version, value: one}]}]
  backendRefs: [{name: one, port: 80}]
- matches: [{headers: [{name: colour, value: blue}, {name: version, value: one}]}]
  backendRefs: [{name: both, port: 80}]
- matches: [{headers: [{name: x-id, type: RegularExpression, value: '[a-f]+[0-9]?'}]}]
  backendRefs: [{name: regex, port: 80}]
",
        )
        .await;
    let get = || Ask::get(&scene.host, "/");
    let cases = [
        (get().header("version", "one"), "one"),
        (get().header("VERSION", "one"), "one"),
        (get().header("version", "One"), ""),
        (get().header("version", "one").header("colour", "blue"), "both"),
        (get().header("colour", "blue").header("version", "one"), "both"),
        (get().header("colour", "blue"), ""),
        (get().header("x-id", "abc1"), "regex"),
        (get().header("x-id", "abc12"), ""),
        (get(), ""),
    ];
    answers(&scene, &cases).await;
}

#[tokio::test]
async fn query_parameters() {
    let Some(mut scene) = Scene::open("query-match").await else { return };
    let _backends = [scene.backend("whale").await, scene.backend("two").await, scene.backend("regex").await];
    scene
        .apply_rules(
            "- matches: [{queryParams: [{name: animal, value: whale}]}]
  backendRefs: [{name: whale, port: 80}]
- matches: [{queryParams: [{name: animal, value: whale}, {name: colour, value: blue}]}]
  backendRefs: [{name: two, port: 80}]
- matches: [{queryParams: [{name: id, type: RegularExpression, value: '[0-9]+'}]}]
  backendRefs: [{name: regex, port: 80}]
",
        )
        .await;
    let get = |path: &str| Ask::get(&scene.host, path);
    let cases = [
        (get("/?animal=whale"), "whale"),
        (get("/any/path?x=1&animal=whale"), "whale"),
        (get("/?animal=whale&animal=fish"), "whale"),
        (get("/?animal=fish&animal=whale"), ""),
        (get("/?Animal=whale"), ""),
        (get("/?animal=whales"), ""),
        (get("/?colour=blue&animal=whale"), "two"),
        (get("/?id=42"), "regex"),
        (get("/?id=42x"), ""),
        (get("/"), ""),
    ];
    answers(&scene, &cases).await;
}

#[tokio::test]
async fn methods() {
    let Some(mut scene) = Scene::open("method-match").await else { return };
    let _backends = [scene.backend("post").await, scene.backend("get").await, scene.backend("patch").await];
    scene
        .apply_rules(
            "- matches: [{method: POST}]
  backendRefs: [{name: post, port: 80}]
- matches: [{method: GET, path: {type: PathPrefix, value: /get}}]
  backendRefs: [{name: get, port: 80}]
- matches: [{method: PATCH, headers: [{name: version, value: one}]}]
  backendRefs: [{name: patch, port: 80}]
",
        )
        .await;
    let get = |path: &str| Ask::get(&scene.host, path);
    let cases = [
        (get("/").method("POST").body("text"), "post"),
        (get("/get").method("POST"), "post"),
        (get("/get"), "get"),
        (get("/"), ""),
        (get("/get").method("DELETE"), ""),
        (get("/").method("PATCH").header("version", "one"), "patch"),
        (get("/").method("PATCH"), ""),
    ];
    answers(&scene, &cases).await;
    let answer = scene.ask(&get("/").method("POST").body("text")).await;
    assert_eq!(answer.echo().body.as_deref(), Some("text"));
}

/// Matches of a rule are alternatives; conditions of a match all count.
#[tokio::test]
async fn alternatives() {
    let Some(mut scene) = Scene::open("alternatives").await else { return };
    let _backend = scene.backend("v1").await;
    scene
        .apply_rules(
            "- matches:
    - {path: {type: PathPrefix, value: /a}, headers: [{name: version, value: one}]}
    - {path: {type: Exact, value: /b}}
    - {method: PUT, queryParams: [{name: c, value: d}]}
  backendRefs: [{name: v1, port: 80}]
",
        )
        .await;
    let get = |path: &str| Ask::get(&scene.host, path);
    let cases = [
        (get("/a/x").header("version", "one"), "v1"),
        (get("/a/x"), ""),
        (get("/b"), "v1"),
        (get("/?c=d").method("PUT"), "v1"),
        (get("/?c=d"), ""),
    ];
    answers(&scene, &cases).await;
}

/// As they are in requests when they are matched: RFC 3986, section 6.2.2.2; values of queries in all spellings.
#[tokio::test]
async fn what_is_percent_encoded() {
    let Some(mut scene) = Scene::open("percent-encoded").await else { return };
    let _backends = [scene.backend("path").await, scene.backend("query").await];
    scene
        .apply_rules(
            "- matches: [{path: {type: Exact, value: '/%7Euser/caf%C3%A9'}}, {path: {value: '/v1%2E0/'}}]
  backendRefs: [{name: path, port: 80}]
- matches: [{queryParams: [{name: q, value: 'a b@c'}]}]
  backendRefs: [{name: query, port: 80}]
",
        )
        .await;
    for (path, backend) in [
        ("/~user/caf%C3%A9", "path"),
        ("/%7euser/caf%C3%A9", "path"),
        ("/v1.0/x", "path"),
        ("/v1%2e0", "path"),
        ("/v1x0", ""),
        ("/?q=a%20b@c", "query"),
        ("/?q=a+b%40c", "query"),
        ("/?q=ab@c", ""),
    ] {
        let (status, pod) = scene.get(path).await.brief();
        let expected = if backend.is_empty() { 404 } else { 200 };
        assert_eq!((status, pod.as_str()), (expected, backend), "{path}");
    }
}

/// Envoy's own limit is 100 instructions.
#[tokio::test]
async fn long_expressions_are_taken() {
    let Some(mut scene) = Scene::open("long-expressions").await else { return };
    let _backend = scene.backend("v1").await;
    let words: Vec<String> = (0..100).map(|number| format!("segment{number}")).collect();
    let expression = format!("/({})/.*", words.join("|"));
    let long = "x".repeat(1000);
    scene
        .apply_rules(&format!(
            "- matches: [{{path: {{type: RegularExpression, value: '{expression}'}}}}]
  backendRefs: [{{name: v1, port: 80}}]
- matches: [{{path: {{value: /query}}, queryParams: [{{name: q, value: '{long}@'}}]}}]
  backendRefs: [{{name: v1, port: 80}}]
"
        ))
        .await;
    for (path, status) in [
        ("/segment99/x".to_owned(), 200),
        ("/segment100/x".to_owned(), 404),
        (format!("/query?q={long}%40"), 200),
        (format!("/query?q={long}"), 404),
    ] {
        assert_eq!(scene.get(&path).await.status, status, "{path}");
    }
}
