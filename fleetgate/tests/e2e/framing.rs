//! No route says where another one's requests and answers end.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Ask, Scene, ask, service};

/// A backend that answers before it reads a body, as many do, and keeps what it took for bodies.
struct Hasty {
    port: u16,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Hasty {
    async fn start() -> Hasty {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let bodies = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&bodies);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&kept)));
            }
        });
        Hasty { port, bodies }
    }
}

async fn answer(stream: TcpStream, bodies: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while stream.read_line(&mut line).await.ok()? > 2 {
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
            line.clear();
        }
        if line.is_empty() {
            return None;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.ok()?;
        let mut body = vec![0; length];
        let mut read = 0;
        while read < length {
            let more = stream.read(&mut body[read..]).await.ok().filter(|more| *more > 0)?;
            read += more;
            bodies.lock().unwrap().push(String::from_utf8_lossy(&body[..read]).into_owned());
        }
    }
}

/// A length that a route sets makes the backend take the next one's request for this one's body.
#[tokio::test]
async fn a_request_is_never_the_body_of_another() {
    let Some(mut scene) = Scene::open("framing").await else { return };
    let backend = Hasty::start().await;
    scene.add(&service(&scene.name, "hasty", "", &[backend.port]));
    let rules = |header: &str| {
        format!(
            "- matches: [{{path: {{value: /theirs}}}}]
  filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{header}]}}}}]
  backendRefs: [{{name: hasty, port: 80}}]
"
        )
    };
    let ours = "- matches: [{path: {value: /ours}}]
  backendRefs: [{name: hasty, port: 80}]
";
    scene
        .apply(
            &(scene.route("ours", ours)
                + &scene.route("theirs", &rules("{name: Content-Length, value: '60'}"))),
        )
        .await;
    for _ in 0..20 {
        let theirs = scene.get("/theirs").await;
        let secret = Ask::get(&scene.host, "/ours?token=of-another-tenant").header("x-secret", "hidden");
        let answer = ask(scene.port, &secret).await;
        let taken = backend.bodies.lock().unwrap().clone();
        assert_eq!(taken, Vec::<String>::new(), "requests of others were read as a body");
        assert_eq!(answer.unwrap().status, 200);
        assert_eq!(theirs.status, 500, "a filter that cannot be done: {theirs:?}");
    }
    scene.expect_condition("HTTPRoute", "theirs", "/parents/0", "Accepted=False UnsupportedValue").await;
    scene.expect_healthy_route("ours").await;
    scene.apply(&scene.route("theirs", &rules("{name: x-length, value: '60'}"))).await;
    scene.expect_status("/theirs", 200).await;
    scene.expect_healthy_route("theirs").await;
}

/// An answer keeps its own length, whatever a route says; what does not frame can be set and removed.
#[tokio::test]
async fn an_answer_has_its_own_length() {
    let Some(mut scene) = Scene::open("framing-answers").await else { return };
    let _backend = scene.backend("v1").await;
    scene
        .apply_rules(
            "- matches: [{path: {value: /short}}]
  filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: content-length, value: '0'}]}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{path: {value: /split}}]
  filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-a, value: \"a\\r\\nset-cookie: b\"}]}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{path: {value: /fine}}]
  filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [x-envoy-upstream-service-time, date]}}]
  backendRefs: [{name: v1, port: 80}]
",
        )
        .await;
    let mut connection = scene.connect().await;
    for _ in 0..3 {
        for (path, status) in [("/short", 500), ("/split", 500), ("/fine", 200)] {
            let answer = connection.ask(&Ask::get(&scene.host, path)).await.unwrap();
            assert_eq!(answer.status, status, "{path}: {answer:?}");
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
    let fine = connection.ask(&Ask::get(&scene.host, "/fine")).await.unwrap();
    assert_eq!(fine.header("x-envoy-upstream-service-time"), None, "{fine:?}");
    assert_eq!(fine.echo().path, "/fine");
    scene
        .expect_condition("HTTPRoute", "route", "/parents/0", "PartiallyInvalid=True UnsupportedValue")
        .await;
}
