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
