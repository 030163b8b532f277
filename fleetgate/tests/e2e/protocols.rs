//! Protocols of clients and backends: HTTP/2 without TLS, WebSocket; names of rules.

use futures_util::{SinkExt, StreamExt};
use loadtest::backend::Options;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{Ask, Connection, Scene, service};

#[tokio::test]
async fn h2c_backends_are_spoken_to_in_http2() {
    let Some(mut scene) = Scene::open("h2c").await else { return };
    let _h2 = scene.backend_with("h2", "kubernetes.io/h2c", Options::named("h2")).await;
    let _h1 = scene.backend("h1").await;
    scene
        .apply_rules(
            "- matches: [{path: {value: /h2}}]
  backendRefs: [{name: h2, port: 80}]
- matches: [{path: {value: /h1}}]
  backendRefs: [{name: h1, port: 80}]
",
        )
        .await;
    for (path, proto) in [("/h2", "HTTP/2.0"), ("/h1", "HTTP/1.1")] {
        assert_eq!(scene.get(path).await.echo().proto, proto, "client with HTTP/1.1 to {path}");
        let mut client = Connection::h2c(scene.port).await.unwrap();
        let answer = client.ask(&Ask::get(&scene.host, path)).await.unwrap();
        assert_eq!(answer.echo().proto, proto, "client with HTTP/2 to {path}");
    }
    scene.expect_healthy_route("route").await;
}

#[tokio::test]
async fn an_unknown_app_protocol_is_refused() {
    let Some(mut scene) = Scene::open("odd-protocol").await else { return };
    let _backend = scene.backend_with("odd", "kubernetes.io/odd", Options::named("odd")).await;
    scene.apply_rules("- backendRefs: [{name: odd, port: 80}]\n").await;
    assert_eq!(scene.get("/").await.status, 500);
    scene
        .expect_condition("HTTPRoute", "route", "/parents/0", "ResolvedRefs=False UnsupportedProtocol")
        .await;
}

#[tokio::test]
async fn websockets_echo() {
    let Some(mut scene) = Scene::open("websocket").await else { return };
    let ws = scene.backend_with("ws", "kubernetes.io/ws", Options::named("ws")).await;
    scene.apply_rules("- backendRefs: [{name: ws, port: 80}]\n").await;
    let stream = TcpStream::connect(("127.0.0.1", scene.port)).await.unwrap();
    let request = format!("ws://{}/chat?room=1", scene.host).into_client_request().unwrap();
    let (mut socket, response) = client_async(request, stream).await.unwrap();
    assert_eq!(response.status().as_u16(), 101);
    for text in ["hello", "again"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    socket.close(None).await.unwrap();
    let seen = ws.seen().pop().unwrap();
    assert_eq!((seen.path.as_str(), seen.host), ("/chat?room=1", scene.host.clone()));
}

#[tokio::test]
async fn rules_may_have_names() {
    let Some(mut scene) = Scene::open("named-rules").await else { return };
    let _backends = [scene.backend("v1").await, scene.backend("v2").await];
    scene
        .apply_rules(
            "- name: first
  matches: [{path: {value: /first}}]
  backendRefs: [{name: v1, port: 80}]
- name: second
  backendRefs: [{name: v2, port: 80}]
",
        )
        .await;
    assert_eq!(scene.get("/first").await.echo().pod, "v1");
    assert_eq!(scene.get("/").await.echo().pod, "v2");
    scene.expect_healthy_route("route").await;
}

/// A backend is a port and a protocol: the same number of UDP, listed first, is another.
#[tokio::test]
async fn a_port_of_udp_with_the_same_number_does_not_count() {
    let Some(mut scene) = Scene::open("udp-first").await else { return };
    let h2 = scene.backend_with("h2", "kubernetes.io/h2c", Options::named("h2")).await;
    let slice = service(&scene.name, "both", "", &[h2.addr.port()]);
    let (_, slice) = slice.split_once("---\napiVersion: discovery").unwrap();
    let objects = format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: both, namespace: {}}}\nspec:\n  ports:\n\
         \x20 - {{name: quic, port: 443, protocol: UDP, targetPort: 8443, appProtocol: kubernetes.io/odd}}\n\
         \x20 - {{name: http, port: 443, protocol: TCP, targetPort: 8080, appProtocol: kubernetes.io/h2c}}\n\
         \x20 - {{name: udp, port: 444, protocol: UDP}}\n---\napiVersion: discovery{}",
        scene.name,
        slice.replace("ports: [", "ports: [{name: quic, port: 1, protocol: UDP}, ")
    );
    let rules = "- matches: [{path: {value: /both}}]
  backendRefs: [{name: both, port: 443}]
- matches: [{path: {value: /udp}}]
  backendRefs: [{name: both, port: 444}]
";
    scene.apply(&(objects + &scene.route("route", rules))).await;
    let echo = scene.get("/both").await.echo();
    assert_eq!((echo.pod.as_str(), echo.proto.as_str()), ("h2", "HTTP/2.0"));
    assert_eq!(scene.get("/udp").await.status, 500);
    scene.expect_condition("HTTPRoute", "route", "/parents/0", "ResolvedRefs=False BackendNotFound").await;
}

/// GEP-1911, "Supporting Protocols": what says that it speaks TLS is never asked in plain text.
#[tokio::test]
async fn a_backend_that_speaks_tls_needs_a_policy() {
    let Some(mut scene) = Scene::open("says-tls").await else { return };
    let wss = scene.backend_with("wss", "kubernetes.io/wss", Options::named("wss")).await;
    let https = scene.backend_with("https", "https", Options::named("https")).await;
    scene
        .apply_rules(
            "- matches: [{path: {value: /wss}}]
  backendRefs: [{name: wss, port: 80}]
- matches: [{path: {value: /https}}]
  backendRefs: [{name: https, port: 80}]
",
        )
        .await;
    for (path, backend) in [("/wss", &wss), ("/https", &https)] {
        assert_eq!(scene.get(path).await.status, 500, "{path}");
        assert!(backend.seen().is_empty(), "{path}");
    }
    scene
        .expect_condition("HTTPRoute", "route", "/parents/0", "ResolvedRefs=False UnsupportedProtocol")
        .await;
}
