//! Header modifiers, of a rule and of a backend.

use crate::harness::{Ask, Scene};

#[tokio::test]
async fn of_requests() {
    let Some(mut scene) = Scene::open("request-headers").await else { return };
    let _backend = scene.backend("v1").await;
    scene
        .apply_rules(
            "- backendRefs: [{name: v1, port: 80}]
  filters:
    - type: RequestHeaderModifier
      requestHeaderModifier:
        set: [{name: X-Set, value: new}, {name: x-percent, value: '100% of %REQ(host)%'}]
        add: [{name: X-Add, value: added}]
        remove: [X-Remove]
",
        )
        .await;
    let request = Ask::get(&scene.host, "/")
        .header("x-set", "old")
        .header("x-add", "given")
        .header("x-remove", "secret")
        .header("x-other", "kept");
    let seen = scene.ask(&request).await.echo();
    assert_eq!(seen.headers["x-set"].join(","), "new");
    assert_eq!(seen.headers["x-percent"].join(","), "100% of %REQ(host)%");
    assert_eq!(seen.headers["x-add"].join(","), "given,added");
    assert_eq!(seen.headers["x-other"].join(","), "kept");
    assert_eq!(seen.header("x-remove"), None);
    assert_eq!(seen.host, scene.host);
    let seen = scene.get("/").await.echo();
    assert_eq!((seen.header("x-set"), seen.header("x-add")), (Some("new"), Some("added")));
}

/// `Host` is set before the backend sees it, and not used for choosing the route.
#[tokio::test]
async fn host_can_be_set() {
    let Some(mut scene) = Scene::open("set-host").await else { return };
    let _backend = scene.backend("v1").await;
    scene
        .apply_rules(
            "- backendRefs: [{name: v1, port: 80}]
  filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: Host, value: inner.example.org}]}
",
        )
        .await;
    assert_eq!(scene.get("/").await.echo().host, "inner.example.org");
}

#[tokio::test]
async fn of_responses() {
    let Some(mut scene) = Scene::open("response-headers").await else { return };
    let _backend = scene.backend("v1").await;
    scene
        .apply_rules(
            "- backendRefs: [{name: v1, port: 80}]
  filters:
    - type: ResponseHeaderModifier
      responseHeaderModifier:
        set: [{name: X-Set, value: new}, {name: x-percent, value: 50%}]
        add: [{name: X-Add, value: added}]
        remove: [X-Remove]
",
        )
        .await;
    let request = Ask::get(&scene.host, "/")
        .header("x-echo-set-header", "x-set: old, x-add: given, x-remove: secret, x-other: kept");
    let answer = scene.ask(&request).await;
    assert_eq!(answer.header("x-set").as_deref(), Some("new"));
    assert_eq!(answer.header("x-percent").as_deref(), Some("50%"));
    assert_eq!(answer.header("x-add").as_deref(), Some("given,added"));
    assert_eq!(answer.header("x-other").as_deref(), Some("kept"));
    assert_eq!(answer.header("x-remove"), None);
}

/// Each of two backends has its own; the rule's come with both.
#[tokio::test]
async fn of_each_backend() {
    let Some(mut scene) = Scene::open("backend-headers").await else { return };
    let _backends = [scene.backend("left").await, scene.backend("right").await];
    let backend = |name: &str, host: &str| {
        format!(
            "    - name: {name}
      port: 80
      filters:
        - type: RequestHeaderModifier
          requestHeaderModifier:
            set: [{{name: x-side, value: {name}}}{host}]
            remove: [x-no-{name}]
        - type: ResponseHeaderModifier
          responseHeaderModifier: {{add: [{{name: x-from, value: {name}}}]}}
"
        )
    };
    scene
        .apply_rules(&format!(
            "- filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {{add: [{{name: x-rule, value: both}}]}}
  backendRefs:
{}{}",
            backend("left", ""),
            backend("right", ", {name: host, value: right.example.org}")
        ))
        .await;
    let mut sides = std::collections::BTreeSet::new();
    let request = Ask::get(&scene.host, "/").header("x-no-left", "1").header("x-no-right", "1");
    for _ in 0..60 {
        let answer = scene.ask(&request).await;
        let seen = answer.echo();
        let side = seen.pod.as_str();
        assert_eq!((seen.header("x-side"), seen.header("x-rule")), (Some(side), Some("both")));
        assert_eq!(answer.header("x-from").as_deref(), Some(side));
        assert_eq!(seen.header(&format!("x-no-{side}")), None);
        assert_eq!(seen.headers.keys().filter(|name| name.starts_with("x-no-")).count(), 1);
        let host = if side == "right" { "right.example.org" } else { scene.host.as_str() };
        assert_eq!(seen.host, host);
        sides.insert(seen.pod);
    }
    assert_eq!(sides.len(), 2);
}

/// `HTTPBackendRef.filters` come after the rule's, whether Envoy can do the backend's others on a cluster or not.
#[tokio::test]
async fn a_backend_has_the_last_word() {
    let Some(mut scene) = Scene::open("last-word").await else { return };
    let _backend = scene.backend("v1").await;
    let rule = |path: &str, more: &str| {
        format!(
            "- matches: [{{path: {{value: {path}}}}}]
  filters:
  - {{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-set, value: rule}}, {{name: x-gone, value: rule}}]}}}}
  - {{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-answer, value: rule}}]}}}}
  backendRefs:
  - name: v1
    port: 80
    filters:
    - {{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-set, value: backend}}], remove: [x-gone]}}}}
    - {{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-answer, value: backend}}]}}}}
{more}"
        )
    };
    let rewrite =
        "    - {type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /new}}}\n";
    scene.apply_rules(&(rule("/weighted", "") + &rule("/split", rewrite))).await;
    for path in ["/weighted", "/split"] {
        let answer = scene.ask(&Ask::get(&scene.host, path).header("x-gone", "client")).await;
        assert_eq!(answer.header("x-answer").as_deref(), Some("backend"), "{path}");
        let echo = answer.echo();
        assert_eq!(
            (echo.headers["x-set"].join(","), echo.header("x-gone")),
            ("backend".to_owned(), None),
            "{path}"
        );
    }
}
