//! What the echo backend answers, over each protocol it speaks.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not know as such

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::http::HeaderMap;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use loadtest::backend::{Backend, Echo, Options, StartError, TlsOptions};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

type Answer = (StatusCode, HeaderMap, Bytes);

async fn plain(name: &str) -> Backend {
    Backend::start(Options::named(name)).await.unwrap()
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", "a.example.com").body(Full::default()).unwrap()
}

async fn over_http1<S>(stream: S, request: Request<Full<Bytes>>) -> Answer
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
}

async fn over_http2<S>(stream: S, request: Request<Full<Bytes>>) -> Answer
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
}

async fn ask(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    over_http1(TcpStream::connect(address).await.unwrap(), request).await
}

#[tokio::test]
async fn grpc_is_answered_with_a_message_and_trailers() {
    let backend = plain("b").await;
    let stream = TcpStream::connect(backend.addr).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://a.example.com/a.Echo/Say").header("content-type", "application/grpc");
    let response = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    let message = body.to_bytes();
    let length = u32::try_from(message.len() - 5).unwrap();
    assert_eq!(message[..5], [[0].as_slice(), &length.to_be_bytes()].concat());
    let echo: Echo = serde_json::from_slice(&message[5..]).unwrap();
    assert_eq!((echo.path.as_str(), echo.proto.as_str()), ("/a.Echo/Say", "HTTP/2.0"));
}

fn echo(answer: &Answer) -> Echo {
    serde_json::from_slice(&answer.2).unwrap()
}

#[tokio::test]
async fn a_request_comes_back_with_its_headers_and_body() {
    let backend = plain("blue").await;
    let request = Request::post("/a/b?c=d")
        .header("Host", "a.example.com")
        .header("X-Two", "1")
        .header("X-Two", "2")
        .body(Full::from("hello"))
        .unwrap();
    let answer = ask(backend.addr, request).await;
    assert_eq!((answer.0, &answer.1["content-type"]), (StatusCode::OK, &"application/json".parse().unwrap()));
    let echo = echo(&answer);
    assert_eq!(
        [&echo.path, &echo.host, &echo.method, &echo.proto, &echo.pod, &echo.namespace],
        ["/a/b?c=d", "a.example.com", "POST", "HTTP/1.1", "blue", "default"]
    );
    assert_eq!(echo.headers["x-two"], ["1", "2"]);
    assert_eq!((echo.body.as_deref(), echo.tls), (Some("hello"), None));
}

#[tokio::test]
async fn h2c_is_spoken_on_the_same_port() {
    let backend = plain("blue").await;
    let request = Request::get("http://b.example.com/x").body(Full::default()).unwrap();
    let answer = over_http2(TcpStream::connect(backend.addr).await.unwrap(), request).await;
    let echo = echo(&answer);
    assert_eq!((echo.proto.as_str(), echo.host.as_str()), ("HTTP/2.0", "b.example.com"));
}

#[tokio::test]
async fn status_and_response_headers_can_be_asked_for() {
    let backend = plain("blue").await;
    let mut request = get("/status/404");
    request.headers_mut().insert("x-echo-set-header", "a:1, a:2".parse().unwrap());
    let (status, headers, _) = ask(backend.addr, request).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers.get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
    let (status, _, body) = ask(backend.addr, get("/status/204")).await;
    assert_eq!((status, body.len()), (StatusCode::NO_CONTENT, 0));
}

#[tokio::test]
async fn a_delayed_answer_comes_after_the_request_was_seen() {
    let backend = plain("blue").await;
    let asked = tokio::spawn(ask(backend.addr, get("/slow?delay=40s")));
    let seen = backend.wait_for(|echo| echo.path.starts_with("/slow")).await;
    assert_eq!(seen.path, "/slow?delay=40s");
    assert!(!asked.is_finished(), "answered at once");
    asked.abort();
    assert_eq!(ask(backend.addr, get("/fast?delay=1ms")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_retry_fails_as_often_as_asked_for_each_id() {
    let backend = plain("blue").await;
    let mut codes = Vec::new();
    for id in ["a", "a", "b", "a"] {
        let path = format!("/retry/{id}?succeedAfter=2&responseCode=502");
        codes.push(ask(backend.addr, get(&path)).await.0.as_u16());
    }
    assert_eq!(codes, [502, 502, 502, 200]);
}

#[tokio::test]
async fn what_was_seen_is_bounded_and_can_be_asked_for() {
    let backend = Backend::start(Options { remember: 2, ..Options::named("blue") }).await.unwrap();
    for path in ["/1", "/2", "/3"] {
        ask(backend.addr, get(path)).await;
    }
    let answer = ask(backend.addr, get("/_seen")).await;
    let seen: serde_json::Value = serde_json::from_slice(&answer.2).unwrap();
    let paths: Vec<_> = seen["seen"].as_array().unwrap().iter().map(|echo| &echo["path"]).collect();
    assert_eq!(paths, ["/2", "/3"]);
    assert_eq!(backend.seen().len(), 2);
    backend.forget();
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn a_websocket_sends_messages_back() {
    let backend = plain("blue").await;
    let stream = TcpStream::connect(backend.addr).await.unwrap();
    let url = format!("ws://{}/any/path", backend.addr);
    let (mut socket, response) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    for message in [Message::text("hello"), Message::binary(vec![0, 255])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    assert_eq!(backend.seen()[0].path, "/any/path");
    drop(backend);
    assert!(!matches!(socket.next().await, Some(Ok(Message::Text(_)))), "outlived its backend");
}

struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

fn authority() -> Authority {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    Authority { certificate, issuer: rcgen::Issuer::new(params, key) }
}

fn issued(authority: &Authority, name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn client(
    authority: &Authority,
    alpn: &[u8],
    identity: Option<&(String, String)>,
) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    tokio_rustls::TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn tls_shows_server_name_alpn_and_client_certificate() {
    let authority = authority();
    let (certificate, private_key) = issued(&authority, "blue.example.com");
    let tls = TlsOptions { certificate, private_key, client_ca: Some(authority.certificate.pem()) };
    let backend = Backend::start(Options { tls: Some(tls), ..Options::named("blue") }).await.unwrap();
    let name = ServerName::try_from("blue.example.com").unwrap();
    let identity = issued(&authority, "gateway");

    let connector = client(&authority, b"http/1.1", None);
    let tcp = TcpStream::connect(backend.addr).await.unwrap();
    let stream = connector.connect(name.clone(), tcp).await.unwrap();
    let seen = echo(&over_http1(stream, get("/")).await).tls.unwrap();
    assert_eq!((seen.sni.as_deref(), seen.alpn.as_deref()), (Some("blue.example.com"), Some("http/1.1")));
    assert_eq!(seen.client_cert_subject, None);

    let connector = client(&authority, b"h2", Some(&identity));
    let tcp = TcpStream::connect(backend.addr).await.unwrap();
    let stream = connector.connect(name, tcp).await.unwrap();
    let request = Request::get("https://blue.example.com/").body(Full::default()).unwrap();
    let answer = echo(&over_http2(stream, request).await);
    let seen = answer.tls.unwrap();
    assert_eq!((answer.proto.as_str(), seen.alpn.as_deref()), ("HTTP/2.0", Some("h2")));
    assert_eq!(seen.client_cert_subject.as_deref(), Some("CN=gateway"));
}

#[tokio::test]
async fn bad_tls_material_and_a_taken_port_are_named() {
    let tls = TlsOptions { certificate: "x".into(), private_key: "x".into(), client_ca: None };
    let refused = Backend::start(Options { tls: Some(tls), ..Options::named("blue") }).await.unwrap_err();
    assert!(refused.to_string().starts_with("certificate of the backend:"), "{refused}");

    let first = plain("blue").await;
    let taken = Options { listen: first.addr, ..Options::named("green") };
    let refused = Backend::start(taken.clone()).await.unwrap_err();
    assert!(matches!(refused, StartError::Listen { address, .. } if address == first.addr));
    first.close().await;
    Backend::start(taken).await.unwrap();
}
