//! Clients that are out there, as they speak.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{DEADLINE, Scene};

/// What a server answers to these bytes, up to the end of the connection.
async fn exchange(port: u16, request: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(DEADLINE, exchange).await.expect("an answer")
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

const RULES: &str = "- backendRefs: [{name: v1, port: 80}]\n";

/// RFC 9110, section 7.8: a server may ignore an offer.
#[tokio::test]
async fn an_offer_of_an_unknown_upgrade_is_ignored() {
    let Some(mut scene) = Scene::open("upgrade-offers").await else { return };
    let _backend = scene.backend("v1").await;
    scene.apply_rules(RULES).await;
    for offer in ["TLS/1.2", "h2c", "TLS/1.0, HTTP/2.0", "websockets"] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: {offer}\r\nConnection: Upgrade, close\r\n\r\n",
            scene.host
        );
        let answer = exchange(scene.port, &request).await;
        assert_eq!(status(&answer), "200", "{offer}: {answer}");
        assert!(answer.contains("\"pod\": \"v1\""), "{offer}: {answer}");
    }
}

/// RFC 9112, section 2.3 and appendix C: they have no chunks, and may have no Host.
#[tokio::test]
async fn http_1_0_is_served() {
    let Some(mut scene) = Scene::open("http-1-0").await else { return };
    let _backend = scene.backend("v1").await;
    scene.apply_rules(RULES).await;
    let answer = exchange(scene.port, &format!("GET / HTTP/1.0\r\nHost: {}\r\n\r\n", scene.host)).await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    assert!(!answer.to_lowercase().contains("transfer-encoding"), "{answer}");
    // No listener or route without a hostname is there.
    let answer = exchange(scene.port, "GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(status(&answer), "404", "{answer}");
}

/// RFC 3986, section 3.2.2: the dot at the end of a name that is written whole.
#[tokio::test]
async fn the_last_dot_of_a_host_does_not_count() {
    let Some(mut scene) = Scene::open("trailing-dot").await else { return };
    let _backend = scene.backend("v1").await;
    scene.apply_rules(RULES).await;
    for host in [format!("{}.", scene.host), format!("{}.:{}", scene.host, scene.port)] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&exchange(scene.port, &request).await), "200", "{host}");
    }
}

/// A header that Envoy writes itself by default.
#[tokio::test]
async fn the_server_header_is_the_backends_or_the_routes() {
    let Some(mut scene) = Scene::open("server-header").await else { return };
    let _backend = scene.backend("v1").await;
    let rule = |path: &str, change: &str| {
        format!(
            "- matches: [{{path: {{value: {path}}}}}]\n  filters: [{{type: ResponseHeaderModifier, \
             responseHeaderModifier: {{{change}}}}}]\n  backendRefs: [{{name: v1, port: 80}}]\n"
        )
    };
    let rules = [
        rule("/set", "set: [{name: server, value: mine}]"),
        rule("/add", "add: [{name: Server, value: mine}]"),
        rule("/remove", "remove: [server]"),
    ];
    scene.apply_rules(&format!("{}{RULES}", rules.concat())).await;
    assert_eq!(scene.get("/set").await.header("server").as_deref(), Some("mine"));
    assert_eq!(scene.get("/add").await.header("server").as_deref(), Some("mine"));
    assert_eq!(scene.get("/remove").await.header("server"), None);
    assert_eq!(scene.get("/").await.header("server"), None, "the backend has none");
}

/// RFC 9110, section 9.1: methods that Envoy does not know by itself, as of Vault's clients; and what comes before them.
#[tokio::test]
async fn any_method_is_served() {
    let Some(mut scene) = Scene::open("methods").await else { return };
    let _backend = scene.backend("v1").await;
    scene.apply_rules(RULES).await;
    for method in ["QUERY", "PROPFIND", "LIST", "X-Own"] {
        // A QUERY must say of which type it is (RFC 10008, section 2).
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n",
            scene.host
        );
        let answer = exchange(scene.port, &request).await;
        assert_eq!(status(&answer), "200", "{method}: {answer}");
        assert!(answer.contains(&format!("\"method\": \"{method}\"")), "{answer}");
    }
    // RFC 9112, section 2.2: an empty line before a request is ignored.
    let request = format!("\r\nGET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", scene.host);
    assert_eq!(status(&exchange(scene.port, &request).await), "200");
    let answer = exchange(scene.port, "G(T / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), "400", "{answer}");
}
