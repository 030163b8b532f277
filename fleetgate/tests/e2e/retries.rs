//! Retries by status code and on connection errors; what is tried again where a route says nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loadtest::backend::{Backend, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{Ask, Scene, ask, free_port, service};

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

/// A route that says nothing of retries: what never reached a backend is tried again on another endpoint, whatever its
/// method; `attempts: 0` says no.
#[tokio::test]
async fn of_what_no_backend_has_seen_unless_told_otherwise() {
    let Some(mut scene) = Scene::open("nothing-sent").await else { return };
    let backend = Backend::start(Options::named("alive")).await.unwrap();
    scene.add(&service(&scene.name, "v1", "", &[backend.addr.port(), free_port()]));
    let rules = rule("/never", "{attempts: 0}")
        + "- backendRefs: [{name: v1, port: 80, weight: 1}, {name: v1, port: 80, weight: 1}]\n"
        + "  filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v1, port: 80}}}]\n";
    scene.apply_rules(&rules).await;
    let mut refused = 0;
    for turn in 0..40 {
        let method = if turn % 2 == 0 { "GET" } else { "POST" };
        let answer = scene.ask(&Ask::get(&scene.host, "/").method(method)).await;
        assert_eq!(answer.brief(), (200, "alive".to_owned()), "{method} {turn}");
        refused += usize::from(scene.get("/never").await.status == 503);
    }
    assert!(refused > 0, "no request met the endpoint that refuses connections");
}

/// Two of three endpoints are gone, as when a backend is scaled down: the third is found, each time.
#[tokio::test]
async fn of_what_two_endpoints_have_not_seen() {
    let Some(mut scene) = Scene::open("two-gone").await else { return };
    let backend = Backend::start(Options::named("alive")).await.unwrap();
    scene.add(&service(&scene.name, "v1", "", &[backend.addr.port(), free_port(), free_port()]));
    scene.apply_rules("- backendRefs: [{name: v1, port: 80}]\n").await;
    for turn in 0..60 {
        let method = if turn % 2 == 0 { "GET" } else { "POST" };
        let answer = scene.ask(&Ask::get(&scene.host, "/").method(method)).await;
        assert_eq!(answer.brief(), (200, "alive".to_owned()), "{method} {turn}");
    }
}

/// A backend that ends the connection once it has the request: it gets the request once.
#[tokio::test]
async fn of_nothing_that_a_backend_has_seen() {
    let Some(mut scene) = Scene::open("seen").await else { return };
    let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    scene.add(&service(&scene.name, "v1", "", &[backend.local_addr().unwrap().port()]));
    let count = Arc::clone(&seen);
    let serve = tokio::spawn(async move {
        loop {
            let (mut connection, _) = backend.accept().await.unwrap();
            if connection.read(&mut [0; 65536]).await.unwrap() > 0 {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    scene.apply_rules("- backendRefs: [{name: v1, port: 80}]\n").await;
    for turn in 1..=10 {
        assert_eq!(scene.get("/").await.status, 503);
        assert_eq!(seen.load(Ordering::Relaxed), turn);
    }
    serve.abort();
}

/// `HTTPRouteRetry.backoff`: a try that reaches `backendRequest` without a response is followed by the next.
#[tokio::test]
async fn a_try_that_runs_out_is_followed_by_the_next() {
    let Some(mut scene) = Scene::open("tries-run-out").await else { return };
    let slow = scene.backend("v1").await;
    scene
        .apply_rules(
            "- timeouts: {backendRequest: 1s}
  retry: {attempts: 1}
  backendRefs: [{name: v1, port: 80}]
",
        )
        .await;
    let answer = scene.get("/?delay=50s").await;
    assert_eq!(answer.status, 504, "{answer:?}");
    assert_eq!(slow.seen().len(), 2, "one try and one more");
}

/// All tries are bounded to the end of their answers: one that streams on after its headers is cut.
#[tokio::test]
async fn an_answer_that_streams_on_is_bounded_with_retries_too() {
    let Some(mut scene) = Scene::open("streams-on").await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let streaming = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                let mut open = stream.write_all(head.as_bytes()).await.is_ok();
                while open {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    open = stream.write_all(b"1\r\nx\r\n").await.is_ok();
                }
            });
        }
    });
    scene.add(&service(&scene.name, "v1", "", &[port]));
    scene
        .apply_rules(
            "- timeouts: {backendRequest: 1s}
  retry: {attempts: 1}
  backendRefs: [{name: v1, port: 80}]
",
        )
        .await;
    // It never ends by itself.
    let answer = ask(scene.port, &Ask::get(&scene.host, "/")).await;
    let error = answer.expect_err("the answer is cut");
    assert_ne!(error, "no answer");
    streaming.abort();
}
