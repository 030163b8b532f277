//! CORS: preflights answered by the gateway, simple requests marked for the browser.

use crate::harness::{Answer, Ask, Scene};

const RULES: &str = "- matches: [{path: {type: PathPrefix, value: /strict}}]
  filters:
    - type: CORS
      cors:
        allowOrigins: ['https://a.com', 'https://*.b.com', 'https://c.com:*']
        allowMethods: [GET, PUT]
        allowHeaders: [x-one, x-two]
        exposeHeaders: [x-shown]
        allowCredentials: true
        maxAge: 600
  backendRefs: [{name: v1, port: 80}]
- matches: [{path: {type: PathPrefix, value: /open}}]
  filters: [{type: CORS, cors: {allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*']}}]
  backendRefs: [{name: v1, port: 80}]
";

fn preflight(scene: &Scene<'_>, path: &str, origin: &str) -> Ask {
    Ask::get(&scene.host, path)
        .method("OPTIONS")
        .header("origin", origin)
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "x-one")
}

fn allowed(answer: &Answer, name: &str) -> Option<String> {
    answer.header(&format!("access-control-{name}"))
}

#[tokio::test]
async fn preflights_never_reach_the_backend() {
    let Some(mut scene) = Scene::open("cors").await else { return };
    let backend = scene.backend("v1").await;
    scene.apply_rules(RULES).await;
    for origin in ["https://a.com", "https://x.y.b.com", "https://c.com:8443"] {
        let answer = scene.ask(&preflight(&scene, "/strict", origin)).await;
        assert!(matches!(answer.status, 200 | 204), "{origin}: {answer:?}");
        assert_eq!(allowed(&answer, "allow-origin").as_deref(), Some(origin));
        let listed = |name| allowed(&answer, name).map(|value| value.replace(' ', ""));
        assert_eq!(listed("allow-methods").as_deref(), Some("GET,PUT"));
        assert_eq!(listed("allow-headers").as_deref(), Some("x-one,x-two"));
        assert_eq!(allowed(&answer, "allow-credentials").as_deref(), Some("true"));
        assert_eq!(allowed(&answer, "max-age").as_deref(), Some("600"));
    }
    for origin in ["https://evil.com", "http://a.com", "https://b.com", "https://a.com.evil.com"] {
        let answer = scene.ask(&preflight(&scene, "/strict", origin)).await;
        assert_eq!(allowed(&answer, "allow-origin"), None, "{origin}: {answer:?}");
    }
    let answer = scene.ask(&preflight(&scene, "/open", "https://any.org")).await;
    assert!(
        matches!(allowed(&answer, "allow-origin").as_deref(), Some("*" | "https://any.org")),
        "{answer:?}"
    );
    assert!(matches!(allowed(&answer, "allow-methods").as_deref(), Some("*" | "PUT")), "{answer:?}");
    assert_eq!(allowed(&answer, "allow-credentials"), None);
    assert!(backend.seen().is_empty(), "{:?}", backend.seen());
}

#[tokio::test]
async fn simple_requests_are_served_and_marked() {
    let Some(mut scene) = Scene::open("cors-simple").await else { return };
    let backend = scene.backend("v1").await;
    scene.apply_rules(RULES).await;
    let answer = scene.ask(&Ask::get(&scene.host, "/strict").header("origin", "https://a.com")).await;
    assert_eq!(answer.brief(), (200, "v1".to_owned()));
    assert_eq!(allowed(&answer, "allow-origin").as_deref(), Some("https://a.com"));
    assert_eq!(allowed(&answer, "expose-headers").as_deref(), Some("x-shown"));
    assert_eq!(allowed(&answer, "allow-credentials").as_deref(), Some("true"));
    let answer = scene.ask(&Ask::get(&scene.host, "/strict").header("origin", "https://evil.com")).await;
    assert_eq!((answer.status, allowed(&answer, "allow-origin")), (200, None));
    let answer = scene.get("/strict").await;
    assert_eq!((answer.status, allowed(&answer, "allow-origin")), (200, None));
    assert_eq!(backend.seen().len(), 3);
}

#[tokio::test]
async fn a_preflight_finds_the_rule_that_its_request_would() {
    let Some(mut scene) = Scene::open("cors-preflights").await else { return };
    let backend = scene.backend("v1").await;
    let cors = |origin: &str| {
        format!("filters: [{{type: CORS, cors: {{allowOrigins: ['{origin}'], allowMethods: [GET, PUT]}}}}]")
    };
    let rule = |matched: &str, origin: &str| {
        format!("- matches: [{matched}]\n  {}\n  backendRefs: [{{name: v1, port: 80}}]\n", cors(origin))
    };
    let rules = [
        rule("{path: {value: /method}, method: GET}", "https://get.com"),
        rule("{path: {value: /method}, method: PUT}", "https://put.com:443"),
        rule("{path: {value: /headers}, headers: [{name: x-tenant, value: a}]}", "https://a.com"),
    ];
    scene.apply_rules(&rules.concat()).await;
    let ask = |path: &str, origin: &str, method: &str, headers: Option<&str>| {
        let ask = Ask::get(&scene.host, path).method("OPTIONS").header("origin", origin);
        let ask = ask.header("access-control-request-method", method);
        match headers {
            Some(headers) => ask.header("access-control-request-headers", headers),
            None => ask,
        }
    };
    let cases = [
        ("/method", "https://get.com", "GET", None, true),
        ("/method", "https://put.com", "PUT", None, true),
        ("/method", "https://get.com", "PUT", None, false),
        ("/headers", "https://a.com", "GET", Some("x-other,x-tenant"), true),
        ("/headers", "https://a.com", "GET", Some("x-tenant"), true),
    ];
    for (path, origin, method, headers, passes) in cases {
        let answer = scene.ask(&ask(path, origin, method, headers)).await;
        assert!(matches!(answer.status, 200 | 204), "{path} {origin} {method}: {answer:?}");
        let expected = passes.then_some(origin);
        assert_eq!(allowed(&answer, "allow-origin").as_deref(), expected, "{path} {method}: {answer:?}");
    }
    assert_eq!(scene.ask(&ask("/headers", "https://a.com", "GET", Some("x-tenant-2"))).await.status, 404);
    let plain = Ask::get(&scene.host, "/method").method("OPTIONS").header("origin", "https://get.com");
    assert_eq!(scene.ask(&plain).await.status, 404, "no preflight, so no GET");
    assert!(backend.seen().is_empty(), "{:?}", backend.seen());
}

#[tokio::test]
async fn beside_credentials_nothing_is_answered_with_a_star_or_without_a_value() {
    let Some(mut scene) = Scene::open("cors-credentials").await else { return };
    let _backend = scene.backend("v1").await;
    let cors = "allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*'], exposeHeaders: ['*'], \
                allowCredentials: true";
    scene
        .apply_rules(&format!(
            "- filters: [{{type: CORS, cors: {{{cors}}}}}]\n  backendRefs: [{{name: v1, port: 80}}]\n"
        ))
        .await;
    let ask = Ask::get(&scene.host, "/").method("OPTIONS").header("origin", "https://a.com");
    let ask = ask.header("access-control-request-method", "PUT");
    let answer = scene.ask(&ask).await;
    assert_eq!(allowed(&answer, "allow-methods").as_deref(), Some("PUT"));
    assert_eq!(allowed(&answer, "allow-headers"), None, "{answer:?}");
    let answer = scene.ask(&ask.header("access-control-request-headers", "x-one")).await;
    assert_eq!(allowed(&answer, "allow-headers").as_deref(), Some("x-one"));
    assert_eq!(allowed(&answer, "allow-origin").as_deref(), Some("https://a.com"));
    let answer = scene.ask(&Ask::get(&scene.host, "/").header("origin", "https://a.com")).await;
    assert_eq!((answer.status, allowed(&answer, "expose-headers")), (200, None), "{answer:?}");
}

/// Fetch standard, "CORS protocol and HTTP caches": the answer is one for its origin, also that to a request without one.
#[tokio::test]
async fn caches_are_told_that_the_origin_counts() {
    let Some(mut scene) = Scene::open("cors-vary").await else { return };
    let _backend = scene.backend("v1").await;
    scene.apply_rules(RULES).await;
    let with_origin = |origin: &str| Ask::get(&scene.host, "/strict").header("origin", origin);
    for request in
        [with_origin("https://a.com"), with_origin("https://evil.com"), Ask::get(&scene.host, "/open")]
    {
        let request = request.header("x-echo-set-header", "vary:accept-encoding");
        let vary = scene.ask(&request).await.header("vary").unwrap_or_default().to_lowercase();
        assert_eq!(vary.replace(' ', ""), "accept-encoding,origin", "{request:?}");
    }
}
