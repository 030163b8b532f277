//! TLSRoutes: connections by server name, with their TLS left to the backend or ended at the listener.

use loadtest::backend::{Backend, Options};

use crate::harness::{
    Answer, Ask, Authority, Connection, Scene, certificate_secret, free_port, gateway, until,
};

fn route(scene: &Scene<'_>, name: &str, hostname: &str, backends: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\n\
         metadata: {{name: {name}, namespace: {}}}\nspec:\n  parentRefs: [{{name: web}}]\n\
         \x20 hostnames: ['{hostname}']\n  rules: [{{backendRefs: [{backends}]}}]\n",
        scene.name
    )
}

fn listener(name: &str, port: u16, hostname: &str, tls: &str) -> String {
    format!("{{name: {name}, port: {port}, protocol: TLS, hostname: '{hostname}', tls: {tls}}}")
}

async fn tls_backend(scene: &mut Scene<'_>, name: &str, authority: &Authority, names: &[&str]) -> Backend {
    let tls = Some(authority.issue(names).options());
    scene.backend_with(name, "", Options { tls, ..Options::named(name) }).await
}

async fn ask(scene: &Scene<'_>, authority: &Authority, sni: &str) -> Result<Answer, String> {
    let (mut connection, _) = Connection::tls(scene.port, sni, authority.der(), "http/1.1").await?;
    connection.ask(&Ask::get(sni, "/x")).await
}

/// Asks until a backend answers.
async fn eventually(scene: &Scene<'_>, authority: &Authority, sni: &str) -> Answer {
    until(&format!("an answer for {sni}"), async || ask(scene, authority, sni).await).await
}

#[tokio::test]
async fn tls_is_passed_through_by_server_name() {
    let Some(mut scene) = Scene::open("tls-passthrough").await else { return };
    let authority = Authority::new();
    let _one = tls_backend(&mut scene, "one", &authority, &["one.example.com"]).await;
    let _two = tls_backend(&mut scene, "two", &authority, &["*.example.com", "*.b.example.com"]).await;
    scene.port = free_port();
    let listeners = [
        listener("pass", scene.port, "*.example.com", "{mode: Passthrough}"),
        listener("idle", scene.port, "*.b.example.com", "{mode: Passthrough}"),
    ];
    scene.write(
        &(gateway(&scene.name, "web", &listeners)
            + &route(&scene, "wide", "*.example.com", "{name: two, port: 80}")
            + &route(&scene, "exact", "one.example.com", "{name: one, port: 80}")
            + &route(&scene, "broken", "broken.example.com", "{name: missing, port: 80}")),
    );
    for (sni, backend) in [("one.example.com", "one"), ("any.example.com", "two"), ("a.b.example.com", "two")]
    {
        let echo = eventually(&scene, &authority, sni).await.echo();
        assert_eq!(echo.pod, backend, "{sni}");
        assert_eq!(echo.tls.unwrap().sni.as_deref(), Some(sni), "the backend ended TLS itself");
    }
    for sni in ["broken.example.com", "one.example.org"] {
        assert!(ask(&scene, &authority, sni).await.is_err(), "{sni} leads nowhere");
    }
    scene.expect_healthy("TLSRoute", "wide").await;
    scene.expect_healthy("TLSRoute", "exact").await;
    scene.expect_condition("TLSRoute", "broken", "/parents/0", "ResolvedRefs=False BackendNotFound").await;
    scene.expect_condition("Gateway", "web", "/listeners/0", "Programmed=True Programmed").await;
}

#[tokio::test]
async fn tls_ends_at_one_listener_and_passes_another_of_the_same_port() {
    let Some(mut scene) = Scene::open("tls-mixed").await else { return };
    let authority = Authority::new();
    let _plain = scene.backend("plain").await;
    let _tls = tls_backend(&mut scene, "tls", &authority, &["pass.example.com"]).await;
    scene.port = free_port();
    let listeners = [
        listener("end", scene.port, "end.example.com", "{certificateRefs: [{name: cert}]}"),
        listener("pass", scene.port, "pass.example.com", "{mode: Passthrough}"),
        listener("idle", scene.port, "idle.example.com", "{mode: Passthrough}"),
    ];
    scene.write(
        &(certificate_secret(&scene.name, "cert", &authority.issue(&["end.example.com"]))
            + &gateway(&scene.name, "web", &listeners)
            + &route(&scene, "end", "end.example.com", "{name: plain, port: 80}")
            + &route(&scene, "pass", "pass.example.com", "{name: tls, port: 80}")),
    );
    let ended = eventually(&scene, &authority, "end.example.com").await.echo();
    assert_eq!((ended.pod.as_str(), ended.tls), ("plain", None));
    let passed = eventually(&scene, &authority, "pass.example.com").await.echo();
    assert_eq!((passed.pod.as_str(), passed.tls.unwrap().sni.as_deref()), ("tls", Some("pass.example.com")));
    assert!(ask(&scene, &authority, "idle.example.com").await.is_err(), "no route takes it");
    scene.expect_healthy("TLSRoute", "end").await;
    scene.expect_healthy("TLSRoute", "pass").await;
}

#[tokio::test]
async fn open_connections_stay_when_another_route_comes() {
    let Some(mut scene) = Scene::open("tls-stays").await else { return };
    let authority = Authority::new();
    let _one = tls_backend(&mut scene, "one", &authority, &["*.example.com"]).await;
    scene.port = free_port();
    let objects =
        gateway(&scene.name, "web", &[listener("pass", scene.port, "*.example.com", "{mode: Passthrough}")])
            + &route(&scene, "first", "first.example.com", "{name: one, port: 80}");
    scene.write(&objects);
    eventually(&scene, &authority, "first.example.com").await;
    let (mut open, _) =
        Connection::tls(scene.port, "first.example.com", authority.der(), "h2").await.unwrap();
    assert_eq!(open.ask(&Ask::get("first.example.com", "/before")).await.unwrap().status, 200);
    scene.write(&(objects + &route(&scene, "second", "second.example.com", "{name: one, port: 80}")));
    eventually(&scene, &authority, "second.example.com").await;
    assert_eq!(open.ask(&Ask::get("first.example.com", "/after")).await.unwrap().status, 200);
}

/// `GatewaySpec.listeners`, "Distinct Listeners": told apart by server name, the most specific hostname first; a request
/// for the other listener's host over a connection of the first is misdirected.
#[tokio::test]
async fn tls_is_passed_through_beside_https_on_one_port() {
    let Some(mut scene) = Scene::open("tls-https").await else { return };
    let authority = Authority::new();
    let _plain = scene.backend("plain").await;
    let _tls = tls_backend(&mut scene, "tls", &authority, &["pass.example.com", "*.example.org"]).await;
    scene.port = free_port();
    let https = format!(
        "{{name: https, port: {}, protocol: HTTPS, hostname: '*.example.com', \
         tls: {{certificateRefs: [{{name: cert}}]}}}}",
        scene.port
    );
    let listeners = [
        https,
        listener("pass", scene.port, "pass.example.com", "{mode: Passthrough}"),
        format!("{{name: rest, port: {}, protocol: TLS, tls: {{mode: Passthrough}}}}", scene.port),
    ];
    scene.parent = "{name: web, sectionName: https}".to_owned();
    let objects = certificate_secret(&scene.name, "cert", &authority.issue(&["*.example.com"]))
        + &gateway(&scene.name, "web", &listeners)
        + &scene.route_for("web", "[]", "- backendRefs: [{name: plain, port: 80}]\n")
        + &route(&scene, "pass", "pass.example.com", "{name: tls, port: 80}")
        + &route(&scene, "rest", "a.example.org", "{name: tls, port: 80}");
    scene.write(&objects);
    for (sni, backend) in [("a.example.com", "plain"), ("pass.example.com", "tls"), ("a.example.org", "tls")]
    {
        let echo = eventually(&scene, &authority, sni).await.echo();
        let of_the_backend = echo.tls.and_then(|tls| tls.sni);
        let passed = (backend == "tls").then(|| sni.to_owned());
        assert_eq!((echo.pod.as_str(), of_the_backend), (backend, passed), "{sni}");
    }
    let (mut reused, _) = Connection::tls(scene.port, "a.example.com", authority.der(), "h2").await.unwrap();
    for (host, status) in [("a.example.com", 200), ("pass.example.com", 421), ("a.example.org", 421)] {
        assert_eq!(reused.ask(&Ask::get(host, "/")).await.unwrap().status, status, "{host}");
    }
    for place in ["/listeners/0", "/listeners/1", "/listeners/2"] {
        scene.expect_condition("Gateway", "web", place, "Programmed=True Programmed").await;
        scene.expect_condition("Gateway", "web", place, "Conflicted=False NoConflicts").await;
    }
}
