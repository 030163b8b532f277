//! Filters of listeners (GEP-5224): a server is asked before a route is chosen, and what it says chooses the route.

use loadtest::backend::{Authorizer, Backend, Echo};

use crate::harness::{Ask, Scene, free_port, gateway, service};

/// A listener with filters in flow style.
fn listener(name: &str, port: u16, hostname: &str, requests: &str) -> String {
    format!(
        "{{name: {name}, port: {port}, protocol: HTTP, hostname: {hostname}, filters: {{requests: [{requests}]}}}}"
    )
}

fn auth(service: &str, http: &str) -> String {
    format!(
        "{{type: ExternalAuth, externalAuth: {{protocol: HTTP, backendRef: {{name: {service}, port: 80}}, http: {http}}}}}"
    )
}

/// A rule for requests with a header `x-tenant`.
fn tenant(tenant: &str, backend: &str) -> String {
    format!(
        "- matches: [{{headers: [{{name: x-tenant, value: {tenant}}}]}}]\n  backendRefs: [{{name: {backend}, port: 80}}]\n"
    )
}

/// Asks for a path; the server that is asked first answers with a header.
fn tagged(host: &str, path: &str, header: &str) -> Ask {
    Ask::get(host, path).header("x-echo-set-header", header)
}

fn header(echo: &Echo, name: &str) -> String {
    echo.headers.get(name).map(|values| values.join(",")).unwrap_or_default()
}

fn asked(server: &Backend) -> usize {
    server.seen().len()
}

#[tokio::test]
async fn a_server_is_asked_before_the_route_is_chosen() {
    let Some(mut scene) = Scene::open("listener-filters").await else { return };
    let first = scene.backend("first").await;
    let second = scene.backend("second").await;
    let blue = scene.backend("blue").await;
    let _green = scene.backend("green").await;
    let (open, host) = ("open.example.com", scene.host.clone());
    scene.port = free_port();
    scene.parent = "{name: web}".to_owned();
    // The second server is told what the first has said.
    let filters = auth("first", "{allowedHeaders: [x-echo-set-header]}")
        + ", "
        + &auth("second", "{allowedHeaders: [X-Tenant]}");
    let listeners = [listener("closed", scene.port, &host, &filters), listener("open", scene.port, open, "")];
    scene.add(&gateway(&scene.name, "web", &listeners));
    let rules = tenant("blue", "blue") + &tenant("green", "green");
    let route = scene.route_for("route", &format!("[{host}, {open}]"), &rules);
    scene.write(&route);

    let answer = scene.expect(&tagged(&host, "/", "x-tenant:blue"), |answer| answer.status == 200).await;
    assert_eq!((answer.echo().pod.as_str(), answer.echo().host.as_str()), ("blue", host.as_str()));
    assert_eq!(header(&answer.echo(), "x-tenant"), "blue");
    assert_eq!(scene.ask(&tagged(&host, "/", "x-tenant:green")).await.echo().pod, "green");
    assert_eq!(header(&second.seen().pop().unwrap(), "x-tenant"), "green");

    // A route of the header that the client sends itself is not believed: the server's replaces it.
    let lie = tagged(&host, "/", "x-tenant:green").header("x-tenant", "blue");
    assert_eq!(scene.ask(&lie).await.echo().pod, "green");
    // Of the server's answer, what speaks of itself stays out of the request; and the host stays.
    let odd = "x-tenant:blue,host:open.example.com";
    let answer = scene.ask(&tagged(&host, "/", odd)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.echo().host, host);
    assert_eq!(header(&answer.echo(), "content-type"), "");

    // Nothing comes after a refusal: no other filter, no route.
    let (of_second, of_blue) = (asked(&second), asked(&blue));
    let refused = scene.ask(&tagged(&host, "/status/401", "x-tenant:blue")).await;
    assert_eq!((refused.status, asked(&second), asked(&blue)), (401, of_second, of_blue));
    // Without a route it has been asked all the same.
    let of_first = asked(&first);
    assert_eq!(scene.get("/").await.status, 404);
    assert_eq!(asked(&first), of_first + 1);

    // The other listener of the port asks nobody.
    let of_first = asked(&first);
    let answer = scene.ask(&Ask::get(open, "/").header("x-tenant", "blue")).await;
    assert_eq!((answer.status, asked(&first)), (200, of_first));
    // Nobody gets around it by the way the host is written.
    for written in [host.to_uppercase(), format!("{host}:{}", scene.port), format!("{host}:")] {
        let of_first = asked(&first);
        let answer = scene.ask(&Ask::get(&written, "/").header("x-tenant", "blue")).await;
        assert_eq!(asked(&first), of_first + 1, "{written}: {answer:?}");
    }
}

/// Envoy's own protocol, with the body, of a server that is told few headers.
#[tokio::test]
async fn a_server_may_be_asked_by_grpc() {
    let Some(mut scene) = Scene::open("listener-filters-grpc").await else { return };
    let server = Authorizer::start().await.unwrap();
    let _blue = scene.backend("blue").await;
    let host = scene.host.clone();
    scene.port = free_port();
    scene.parent = "{name: web}".to_owned();
    scene.add(&service(&scene.name, "auth", "kubernetes.io/h2c", &[server.addr.port()]));
    let filter = "{type: ExternalAuth, externalAuth: {protocol: GRPC, backendRef: {name: auth, port: 80}, \
                  grpc: {allowedHeaders: [X-Token]}, forwardBody: {maxSize: 16}}}";
    scene.add(&gateway(&scene.name, "web", &[listener("http", scene.port, &host, filter)]));
    scene.write(&scene.route("route", &tenant("blue", "blue")));
    let ask = Ask::get(&host, "/").header("x-token", "blue");
    let answer = scene.expect(&ask, |answer| answer.status == 200).await;
    assert_eq!(
        (header(&answer.echo(), "x-tenant").as_str(), answer.echo().host.as_str()),
        ("blue", host.as_str())
    );
    assert_eq!(scene.get("/").await.status, 401);
    // A body that is too long to be told is not told in part.
    let long = ask.clone().method("POST").body("0123456789abcdefg");
    assert_eq!(scene.ask(&long).await.status, 413);
    let short = ask.method("POST").body("0123456789abcdef");
    assert_eq!(scene.ask(&short).await.echo().body.as_deref(), Some("0123456789abcdef"));
}

/// Where nobody can be asked, nothing passes.
#[tokio::test]
async fn without_a_server_nothing_passes() {
    let Some(mut scene) = Scene::open("listener-filters-closed").await else { return };
    let backend = scene.backend("v1").await;
    let server = scene.backend("auth").await;
    let host = scene.host.clone();
    scene.port = free_port();
    scene.parent = "{name: web}".to_owned();
    let route = scene.route("route", "- backendRefs: [{name: v1, port: 80}]\n");
    let with =
        |filter: &str| gateway(&scene.name, "web", &[listener("http", scene.port, &host, filter)]) + &route;
    scene.write(&with(&auth("nobody", "{}")));
    scene.expect_status("/", 500).await;
    scene
        .expect_condition("Gateway", "web", "/listeners/0", "ResolvedRefs=False InvalidListenerFilterRef")
        .await;
    scene.expect_condition("Gateway", "web", "/listeners/0", "Accepted=True Accepted").await;
    assert!(backend.seen().is_empty());

    scene.write(&with(&auth("auth", "{}")));
    scene.expect_status("/", 200).await;
    scene.expect_condition("Gateway", "web", "/listeners/0", "ResolvedRefs=True ResolvedRefs").await;
    assert_eq!(server.seen().pop().unwrap().host, host);
    drop(server);
    scene.expect_status("/", 403).await;

    // A filter that cannot be run is not left out: the listener does not serve.
    let odd = "{type: ExtensionRef, extensionRef: {group: example.com, kind: Odd, name: odd}}";
    scene.write(&with(odd));
    scene.expect_condition("Gateway", "web", "/listeners/0", "Accepted=False UnsupportedValue").await;
    crate::harness::until("the port is closed", async || {
        match crate::harness::ask(scene.port, &Ask::get(&host, "/")).await {
            Err(_) => Ok(()),
            Ok(answer) => Err(format!("{answer:?}")),
        }
    })
    .await;
}
