//! Timeouts of requests and of tries.

use crate::harness::Scene;

fn rule(path: &str, timeouts: &str) -> String {
    format!(
        "- matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n  timeouts: {timeouts}\n  \
         backendRefs: [{{name: v1, port: 80}}]\n"
    )
}

#[tokio::test]
async fn slow_answers_become_504() {
    let Some(mut scene) = Scene::open("timeouts").await else { return };
    let backend = scene.backend("v1").await;
    // Long enough for a prompt answer on a busy machine.
    let rules = rule("/request", "{request: 2s}")
        + &rule("/backend", "{backendRequest: 2s}")
        + &rule("/both", "{request: 50s, backendRequest: 2s}")
        + &rule("/off", "{request: 0s}");
    scene.apply_rules(&rules).await;
    for path in ["/request", "/backend", "/both"] {
        let answer = scene.get(&format!("{path}?delay=50s")).await;
        assert_eq!(answer.status, 504, "{path}");
        assert_eq!(scene.get(path).await.brief(), (200, "v1".to_owned()), "{path}");
    }
    assert_eq!(scene.get("/off?delay=400ms").await.status, 200);
    assert_eq!(backend.seen().len(), 7);
    scene.expect_healthy_route("route").await;
}

#[tokio::test]
async fn the_requests_timeout_bounds_all_tries() {
    let Some(mut scene) = Scene::open("bounded-tries").await else { return };
    let backend = scene.backend("v1").await;
    scene
        .apply_rules(
            "- timeouts: {request: 2s}
  retry: {codes: [503], attempts: 20, backoff: 100ms}
  backendRefs: [{name: v1, port: 80}]
",
        )
        .await;
    let answer = scene.get("/retry/bounded?succeedAfter=1000&delay=600ms").await;
    assert!(matches!(answer.status, 503 | 504), "{answer:?}");
    let tries = backend.seen().len();
    assert!((1..=4).contains(&tries), "{tries} tries of 600 ms in 2 s");
}
