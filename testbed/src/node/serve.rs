//! The node's HTTPS endpoint, which the API server asks for logs, commands and ports.
//!
//! It listens on the node's address, in the cluster's network namespace, with a certificate that it signs itself, and
//! lets anyone in who gets there.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::jiff::Timestamp;
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::context::Context;
use super::logs::{self, Wanted};
use super::streams;

pub(super) type Body = BoxBody<Bytes, Infallible>;

/// The port that kubelets have.
const PORT: u16 = 10250;
/// How often a followed log is looked at.
const PERIOD: Duration = Duration::from_millis(200);

/// Starts to listen; gives the port.
///
/// # Errors
/// The node's address can't be listened on.
pub(super) async fn listen(cx: &Arc<Context>, tasks: &mut JoinSet<()>) -> anyhow::Result<u16> {
    let names = vec![cx.args.name.clone(), cx.address.to_string()];
    let own = rcgen::generate_simple_self_signed(names)?;
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((cx.address, PORT))
        .await
        .with_context(|| format!("the node can't listen on {}:{PORT}; is there another node?", cx.address))?;
    let cx = cx.clone();
    tasks.spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(serve(cx.clone(), acceptor.clone(), stream))),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    Ok(PORT)
}

async fn serve(cx: Arc<Context>, acceptor: TlsAcceptor, stream: tokio::net::TcpStream) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = hyper::service::service_fn(move |request| answer(cx.clone(), request));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = connection.with_upgrades().await;
}

async fn answer(cx: Arc<Context>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let uri = request.uri().clone();
    let path: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let query = uri.query().unwrap_or_default();
    Ok(match path[..] {
        ["healthz"] => text(StatusCode::OK, "ok"),
        ["containerLogs", namespace, pod, container] => match wanted(query) {
            Ok(wanted) => container_log(&cx, namespace, pod, container, wanted).await,
            Err(wrong) => text(StatusCode::BAD_REQUEST, &wrong),
        },
        ["portForward", namespace, pod] => forward_ports(&cx, namespace, pod, query, request).await,
        ["exec", namespace, pod, container] => run(&cx, [namespace, pod, container], query, request).await,
        _ => text(
            StatusCode::NOT_FOUND,
            "this node has /containerLogs and /exec of NAMESPACE/POD/CONTAINER, /portForward/NAMESPACE/POD and /healthz",
        ),
    })
}

async fn uid(cx: &Context, namespace: &str, pod: &str) -> Result<String, String> {
    let found = cx.pods(namespace).get_metadata(pod).await;
    let found = found.map_err(|error| format!("pod {namespace}/{pod}: {error}"))?;
    Ok(found.metadata.uid.unwrap_or_default())
}

async fn forward_ports(
    cx: &Context,
    namespace: &str,
    pod: &str,
    query: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let uid = match uid(cx, namespace, pod).await {
        Ok(uid) => uid,
        Err(why) => return text(StatusCode::NOT_FOUND, &why),
    };
    let Some(inside) = cx.inside.pod(&uid) else {
        return text(StatusCode::NOT_FOUND, &format!("no container of pod {namespace}/{pod} runs"));
    };
    let ports = values(query, "port").iter().filter_map(|port| port.parse().ok()).collect();
    streams::forward_ports(request, ports, inside).unwrap_or_else(|why| text(StatusCode::BAD_REQUEST, &why))
}

async fn run(
    cx: &Context,
    [namespace, pod, container]: [&str; 3],
    query: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let uid = match uid(cx, namespace, pod).await {
        Ok(uid) => uid,
        Err(why) => return text(StatusCode::NOT_FOUND, &why),
    };
    let Some(inside) = cx.inside.container(&uid, container) else {
        let sentence = format!("container {container} of pod {namespace}/{pod} does not run");
        return text(StatusCode::NOT_FOUND, &sentence);
    };
    streams::run(request, values(query, "command"), inside)
        .unwrap_or_else(|why| text(StatusCode::BAD_REQUEST, &why))
}

/// All values of a name in a query.
fn values(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(of, _)| *of == name).map(|(_, value)| decoded(value)).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = after.get(if byte.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn container_log(
    cx: &Arc<Context>,
    namespace: &str,
    pod: &str,
    container: &str,
    wanted: Wanted,
) -> Response<Body> {
    let uid = match uid(cx, namespace, pod).await {
        Ok(uid) => uid,
        Err(why) => return text(StatusCode::NOT_FOUND, &why),
    };
    let dir = cx.log_dir(&uid, container);
    let Some(file) = logs::newest(&dir, wanted.previous) else {
        let which = if wanted.previous { "previous terminated container" } else { "container" };
        let sentence = format!("{which} {container:?} in pod {pod:?} not found");
        return text(StatusCode::BAD_REQUEST, &sentence);
    };
    let (whole, position) = match logs::read_from(&file, 0) {
        Ok(read) => read,
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let first = logs::select(&whole, &wanted);
    if !wanted.follow || wanted.previous {
        return text(StatusCode::OK, &first);
    }
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(4);
    tokio::spawn(async move {
        let later = Wanted { tail: None, since: None, ..wanted };
        let (mut more, mut position) = (first, position);
        loop {
            if !more.is_empty() && sender.send(Frame::data(Bytes::from(more))).await.is_err() {
                return;
            }
            tokio::time::sleep(PERIOD).await;
            // The file goes with its pod, or a new run has begun.
            let Ok((next, end)) = logs::read_from(&file, position) else { return };
            if next.is_empty() && logs::newest(&dir, false).as_ref() != Some(&file) {
                return;
            }
            more = logs::select(&next, &later);
            position = end;
        }
    });
    Response::new(body.boxed())
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("text/plain"));
    response
}

fn wanted(query: &str) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let wrong = || format!("{name}={value} is not understood");
        let value = value.replace("%3A", ":").replace("%3a", ":").replace("%2B", "+");
        match name {
            "sinceTime" => wanted.since = Some(value.parse().map_err(|_| wrong())?),
            "sinceSeconds" => {
                let seconds: i64 = value.parse().map_err(|_| wrong())?;
                let now = Timestamp::now().as_second();
                wanted.since = Timestamp::from_second(now.saturating_sub(seconds)).ok();
            }
            "tailLines" => wanted.tail = Some(value.parse().map_err(|_| wrong())?),
            "timestamps" => wanted.timestamps = value == "true",
            "previous" => wanted.previous = value == "true",
            "follow" => wanted.follow = value == "true",
            _ => {}
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_words_of_the_query() {
        let words = values("command=sh&command=-c&command=echo+a%26b%2Bc&input=1", "command");
        assert_eq!(words, ["sh", "-c", "echo a&b+c"]);
    }

    #[test]
    fn queries() {
        let all =
            wanted("sinceTime=2026-01-01T00%3A00%3A02Z&tailLines=3&timestamps=true&follow=true&x").unwrap();
        let since = Some("2026-01-01T00:00:02Z".parse().unwrap());
        assert_eq!(all, Wanted { since, tail: Some(3), timestamps: true, previous: false, follow: true });
        assert!(wanted("sinceSeconds=60").unwrap().since.is_some());
        assert_eq!(wanted("tailLines=x").unwrap_err(), "tailLines=x is not understood");
    }
}
