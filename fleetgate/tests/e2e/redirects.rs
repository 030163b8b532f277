//! RequestRedirect: codes and Locations.

use crate::harness::{Ask, Scene};

/// A rule for a path prefix that redirects.
fn rule(path: &str, redirect: &str) -> String {
    format!(
        "- matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n  \
         filters: [{{type: RequestRedirect, requestRedirect: {redirect}}}]\n"
    )
}

#[tokio::test]
async fn codes() {
    let Some(scene) = Scene::open("redirect-codes").await else { return };
    let codes = [301_u16, 302, 303, 307, 308];
    let mut rules = rule("/default", "{hostname: other.org}");
    for code in codes {
        rules += &rule(&format!("/{code}"), &format!("{{hostname: other.org, statusCode: {code}}}"));
    }
    scene.apply_rules(&rules).await;
    for code in codes {
        let answer = scene.get(&format!("/{code}/x?q=1")).await;
        let expected = format!("http://other.org:{}/{code}/x?q=1", scene.port);
        assert_eq!((answer.status, answer.header("location")), (code, Some(expected)));
    }
    assert_eq!(scene.get("/default").await.status, 302);
    scene.expect_healthy_route("route").await;
}

#[tokio::test]
async fn locations() {
    let Some(scene) = Scene::open("locations").await else { return };
    let (host, port) = (scene.host.clone(), scene.port);
    let cases = [
        ("/scheme", "{scheme: https}", "/scheme/x?q=1", format!("https://{host}/scheme/x?q=1")),
        ("/same-scheme", "{scheme: http}", "/same-scheme", format!("http://{host}/same-scheme")),
        ("/host", "{hostname: other.org}", "/host", format!("http://other.org:{port}/host")),
        ("/port", "{port: 8443}", "/port", format!("http://{host}:8443/port")),
        ("/http-port", "{port: 80}", "/http-port", format!("http://{host}/http-port")),
        ("/tls-port", "{scheme: https, port: 443}", "/tls-port", format!("https://{host}/tls-port")),
        ("/odd-port", "{scheme: https, port: 80}", "/odd-port", format!("https://{host}:80/odd-port")),
        (
            "/all",
            "{scheme: https, hostname: o.org, port: 1, path: {type: ReplaceFullPath, replaceFullPath: /f}}",
            "/all/x",
            "https://o.org:1/f".to_owned(),
        ),
        (
            "/full",
            "{path: {type: ReplaceFullPath, replaceFullPath: /new/place}}",
            "/full/x?q=1",
            format!("http://{host}:{port}/new/place?q=1"),
        ),
        (
            "/prefix",
            "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}",
            "/prefix/x?q=1",
            format!("http://{host}:{port}/new/x?q=1"),
        ),
        (
            "/whole",
            "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}",
            "/whole",
            format!("http://{host}:{port}/new"),
        ),
        (
            "/root",
            "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}",
            "/root/x",
            format!("http://{host}:{port}/x"),
        ),
        (
            "/root-whole",
            "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}",
            "/root-whole",
            format!("http://{host}:{port}/"),
        ),
    ];
    let rules: String = cases.iter().map(|(path, redirect, ..)| rule(path, redirect)).collect();
    scene.apply_rules(&rules).await;
    for (_, redirect, path, location) in &cases {
        let answer = scene.get(path).await;
        assert_eq!((answer.status, answer.header("location").as_ref()), (302, Some(location)), "{redirect}");
        // The port that a client wrote has no part in it (`HTTPRequestRedirectFilter.port`).
        for written in [port, 20401] {
            let answer = scene.ask(&Ask::get(&format!("{host}:{written}"), path)).await;
            assert_eq!(answer.header("location").as_ref(), Some(location), "{redirect}, :{written}");
        }
    }
}

/// A redirect is no secret; what else the rule says still counts.
#[tokio::test]
async fn headers_of_a_redirect() {
    let Some(scene) = Scene::open("redirect-headers").await else { return };
    scene
        .apply_rules(
            "- filters:
    - {type: RequestRedirect, requestRedirect: {scheme: https}}
    - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-by, value: gateway}]}}
",
        )
        .await;
    let answer = scene.get("/").await;
    assert_eq!((answer.status, answer.header("x-by").as_deref()), (302, Some("gateway")));
}
