//! URLRewrite, of a rule and of a backend.

use std::collections::BTreeMap;

use crate::harness::{Ask, Scene};

fn rule(path: &str, rewrite: &str) -> String {
    format!(
        "- matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n  \
         filters: [{{type: URLRewrite, urlRewrite: {rewrite}}}]\n  \
         backendRefs: [{{name: v1, port: 80}}]\n"
    )
}

#[tokio::test]
async fn of_paths_and_hosts() {
    let Some(mut scene) = Scene::open("rewrites").await else { return };
    let _backend = scene.backend("v1").await;
    let prefix = |to: &str| format!("{{path: {{type: ReplacePrefixMatch, replacePrefixMatch: {to}}}}}");
    let full = |to: &str| format!("{{path: {{type: ReplaceFullPath, replaceFullPath: {to}}}}}");
    let cases = [
        ("/prefix", prefix("/new"), "/prefix/x?q=1", "/new/x?q=1"),
        ("/whole", prefix("/new"), "/whole", "/new"),
        ("/trailing", prefix("/new/"), "/trailing/x", "/new/x"),
        ("/root", prefix("/"), "/root/x?q=1", "/x?q=1"),
        ("/only", prefix("/"), "/only", "/"),
        ("/slash", prefix("/"), "/slash/", "/"),
        ("/full", full("/one/place"), "/full/x?q=1&r=/s", "/one/place?q=1&r=/s"),
        ("/plain", full("/one"), "/plain", "/one"),
    ];
    let mut rules: String = cases.iter().map(|(path, rewrite, ..)| rule(path, rewrite)).collect();
    rules += &rule("/host", "{hostname: inner.example.org}");
    let both = "{hostname: inner.example.org, path: {type: ReplaceFullPath, replaceFullPath: /b}}";
    rules += &rule("/both", both);
    scene.apply_rules(&rules).await;
    for (_, rewrite, sent, arrives) in &cases {
        let seen = scene.get(sent).await.echo();
        assert_eq!((seen.path.as_str(), &seen.host), (*arrives, &scene.host), "{sent} {rewrite}");
    }
    let seen = scene.get("/host/x?q=1").await.echo();
    assert_eq!((seen.host.as_str(), seen.path.as_str()), ("inner.example.org", "/host/x?q=1"));
    let seen = scene.get("/both/x?q=1").await.echo();
    assert_eq!((seen.host.as_str(), seen.path.as_str()), ("inner.example.org", "/b?q=1"));
    let forwarded = Ask::get(&scene.host, "/host").header("x-forwarded-host", "theirs");
    assert_eq!(scene.ask(&forwarded).await.echo().header("x-forwarded-host"), Some("theirs"));
}

#[tokio::test]
async fn of_a_root_prefix() {
    let Some(mut scene) = Scene::open("root-prefix").await else { return };
    let _backend = scene.backend("v1").await;
    scene.apply_rules(&rule("/", "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /api}}")).await;
    for (sent, arrives) in [("/", "/api/"), ("/x?q=1", "/api/x?q=1")] {
        assert_eq!(scene.get(sent).await.echo().path, arrives, "{sent}");
    }
}

/// Two backends of equal weight, each with a rewrite of its own.
#[tokio::test]
async fn of_each_backend() {
    let Some(mut scene) = Scene::open("backend-rewrites").await else { return };
    let _backends = [scene.backend("left").await, scene.backend("right").await];
    let backend = |name: &str, rewrite: &str| {
        format!(
            "    - name: {name}
      port: 80
      weight: 1
      filters: [{{type: URLRewrite, urlRewrite: {rewrite}}}]
"
        )
    };
    scene
        .apply_rules(&format!(
            "- matches: [{{path: {{type: PathPrefix, value: /app}}}}]\n  backendRefs:\n{}{}",
            backend("left", "{hostname: l.org, path: {type: ReplacePrefixMatch, replacePrefixMatch: /l}}"),
            backend("right", "{path: {type: ReplaceFullPath, replaceFullPath: /r}}")
        ))
        .await;
    let mut shares: BTreeMap<String, u32> = BTreeMap::new();
    let mut connection = scene.connect().await;
    for _ in 0..200 {
        let answer = connection.ask(&Ask::get(&scene.host, "/app/x?q=1")).await.unwrap();
        let seen = answer.echo();
        let expected = match seen.pod.as_str() {
            "left" => ("l.org", "/l/x?q=1"),
            _ => (scene.host.as_str(), "/r?q=1"),
        };
        assert_eq!((seen.host.as_str(), seen.path.as_str()), expected);
        *shares.entry(seen.pod).or_default() += 1;
    }
    assert!(shares["left"].abs_diff(100) <= 30, "{shares:?}");
}
