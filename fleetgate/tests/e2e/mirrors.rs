//! RequestMirror: what mirrors see, and what clients do not.

use crate::harness::{Ask, DEADLINE, Scene};

#[tokio::test]
async fn several_each_with_its_share() {
    let Some(mut scene) = Scene::open("mirrors").await else { return };
    let main = scene.backend("main").await;
    let mut mirrors = Vec::new();
    for name in ["always", "full", "never", "half"] {
        mirrors.push(scene.backend(name).await);
    }
    scene
        .apply_rules(
            "- filters:
    - {type: RequestMirror, requestMirror: {backendRef: {name: always, port: 80}}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: full, port: 80}, percent: 100}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: never, port: 80}, percent: 0}}
    - type: RequestMirror
      requestMirror: {backendRef: {name: half, port: 80}, fraction: {numerator: 1, denominator: 2}}
  backendRefs: [{name: main, port: 80}]
",
        )
        .await;
    let mut connection = scene.connect().await;
    for number in 0..200 {
        let request = Ask::get(&scene.host, &format!("/a/b?number={number}")).header("x-a", "b");
        assert_eq!(connection.ask(&request).await.unwrap().brief(), (200, "main".to_owned()));
    }
    assert_eq!(main.seen().len(), 200);
    for mirror in &mirrors[..2] {
        // Mirrors come after the client's answer; the last of them need not be the last to arrive.
        for number in 0..200 {
            let path = format!("/a/b?number={number}");
            let seen = tokio::time::timeout(DEADLINE, mirror.wait_for(|echo| echo.path == path)).await;
            let seen = seen.unwrap_or_else(|_| panic!("no mirror of {path}"));
            assert_eq!((seen.host.as_str(), seen.header("x-a")), (scene.host.as_str(), Some("b")));
        }
    }
    assert!(mirrors[2].seen().is_empty());
    let half = mirrors[3].seen().len();
    assert!(half.abs_diff(100) <= 35, "half of 200 requests were mirrored {half} times");
}

#[tokio::test]
async fn an_unresolved_mirror_changes_nothing_for_the_request() {
    let Some(mut scene) = Scene::open("no-mirror").await else { return };
    let _main = scene.backend("main").await;
    scene
        .apply_rules(
            "- filters: [{type: RequestMirror, requestMirror: {backendRef: {name: nowhere, port: 80}}}]
  backendRefs: [{name: main, port: 80}]
",
        )
        .await;
    assert_eq!(scene.get("/").await.brief(), (200, "main".to_owned()));
    scene.expect_condition("HTTPRoute", "route", "/parents/0", "ResolvedRefs=False BackendNotFound").await;
}
