//! Retries by status code and on connection errors.

use loadtest::backend::{Backend, Options};

use crate::harness::{Scene, free_port, service};

fn rule(path: &str, retry: &str) -> String {
    format!(
        "- matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n  retry: {retry}\n  \
         filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /}}}}}}]\n  \
         backendRefs: [{{name: v1, port: 80}}]\n"
    )
}

#[tokio::test]
async fn on_the_codes_asked_for_and_as_often() {
    let Some(mut scene) = Scene::open("retries").await else { return };
    let backend = scene.backend("v1").await;
    let rules = rule("/three", "{codes: [500, 503], attempts: 3, backoff: 10ms}")
        + &rule("/default", "{codes: [503], backoff: 10ms}")
        + &rule("/zero", "{codes: [503], attempts: 0}");
    scene.apply_rules(&rules).await;
    for (path, id, failures, code, status, tries) in [
        ("/three", "a", 3, 503, 200, 4),
        ("/three", "b", 2, 500, 200, 3),
        ("/three", "c", 4, 503, 503, 4),
        ("/three", "d", 1, 502, 502, 1),
        ("/three", "e", 0, 503, 200, 1),
        ("/default", "f", 1, 503, 200, 2),
        ("/default", "g", 2, 503, 503, 2),
        ("/zero", "h", 1, 503, 503, 1),
    ] {
        backend.forget();
        let asked = format!("/retry/{id}?succeedAfter={failures}&responseCode={code}");
        let answer = scene.get(&format!("{path}{asked}")).await;
        let seen = backend.seen();
        assert_eq!((answer.status, seen.len()), (status, tries), "{path}{asked}");
        assert!(seen.iter().all(|echo| echo.path == asked), "{seen:?}");
    }
    scene.expect_healthy_route("route").await;
}

/// One of two endpoints refuses connections: with retries no client sees it.
#[tokio::test]
async fn on_connection_errors() {
    let Some(mut scene) = Scene::open("connection-errors").await else { return };
    let backend = Backend::start(Options::named("alive")).await.unwrap();
    scene.add(&service(&scene.name, "v1", "", &[backend.addr.port(), free_port()]));
    scene.apply_rules("- retry: {attempts: 3, backoff: 10ms}\n  backendRefs: [{name: v1, port: 80}]\n").await;
    for _ in 0..40 {
        assert_eq!(scene.get("/").await.brief(), (200, "alive".to_owned()));
    }
}
