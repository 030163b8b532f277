//! A way to the API server that goes wrong when a test says so.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::upstream::Upstream;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Nobody listens, and what was open is closed.
    Away,
    /// Packets are lost: what is open, or opened, never says anything again.
    Silent,
    /// Every request is refused: too many, again in a second.
    Throttled,
    /// Answers take this much longer.
    Slow(Duration),
    /// What a watch tells breaks off in the middle.
    Cut,
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Plain HTTP on loopback, passed on with an administrator's credentials.
pub(crate) struct ApiProxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Upstream,
    fault: watch::Sender<Fault>,
    /// Watches that are open, by what they are about.
    watches: Mutex<BTreeMap<String, usize>>,
    writes: Mutex<Vec<String>>,
    /// How often a watch was told that its version is gone.
    gone: AtomicUsize,
}

impl ApiProxy {
    /// A way to the cluster of `$KUBECONFIG`.
    pub(crate) async fn start() -> ApiProxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream: Upstream::of_kubeconfig(),
            fault: watch::Sender::new(Fault::None),
            watches: Mutex::default(),
            writes: Mutex::default(),
            gone: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        ApiProxy { port, shared }
    }

    /// A kubeconfig that leads here.
    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": {"server": format!("http://127.0.0.1:{}", self.port)}}],
            "users": [{"name": "it", "user": {}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        })
        .to_string()
    }

    /// From now on this goes wrong.
    pub(crate) fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// Watches that are open, by path and selectors, and how often each.
    pub(crate) fn watches(&self) -> BTreeMap<String, usize> {
        self.shared.watches.lock().unwrap().clone()
    }

    /// Methods and paths of writes since the last call.
    pub(crate) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.writes.lock().unwrap())
    }

    /// How often a watch was told that its version is gone.
    pub(crate) fn gone(&self) -> usize {
        self.shared.gone.load(Ordering::Relaxed)
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut fault = shared.fault.subscribe();
    let service = service_fn(|request| answer(Arc::clone(&shared), request));
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = serving => {}
        () = becomes(&mut fault, Fault::Away) => {}
    }
}

async fn becomes(now: &mut watch::Receiver<Fault>, fault: Fault) {
    // It ends with the proxy at the latest.
    let _ = now.wait_for(|now| *now == fault).await;
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, String> {
    let mut fault = shared.fault.subscribe();
    let now = *fault.borrow_and_update();
    match now {
        Fault::Silent => std::future::pending().await,
        Fault::Throttled => return Ok(too_many()),
        Fault::Slow(delay) => tokio::time::sleep(delay).await,
        Fault::None | Fault::Away | Fault::Cut => {}
    }
    if request.method() != Method::GET {
        let write = format!("{} {}", request.method(), request.uri().path());
        shared.writes.lock().unwrap().push(write);
    }
    let about = about(request.uri());
    let (parts, body) = shared.upstream.send(request).await?.into_parts();
    let open = about.map(|about| Open::new(&shared, about));
    let forwarded = Forwarded { body, fault, shared, open, broken: false };
    let frames = stream::unfold(forwarded, |mut forwarded| async move {
        let frame = forwarded.next().await?;
        Some((frame, forwarded))
    });
    Ok(Response::from_parts(parts, StreamBody::new(frames).boxed_unsync()))
}

/// What a watch is about; none if it is something else.
fn about(uri: &hyper::Uri) -> Option<String> {
    let parts = uri.query()?.split('&');
    let (selectors, others): (Vec<&str>, Vec<&str>) = parts.partition(|part| part.contains("Selector"));
    let is_watch = others.iter().any(|part| part.starts_with("watch="));
    is_watch.then(|| format!("{} {}", uri.path(), selectors.join(" ")))
}

fn too_many() -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429, "reason": "TooManyRequests",
        "message": "too many requests", "details": {"retryAfterSeconds": 1},
    });
    let body = Full::from(status.to_string()).map_err(|never| match never {}).boxed_unsync();
    let answer = Response::builder().status(429).header("retry-after", "1");
    answer.header("content-type", "application/json").body(body).unwrap()
}

/// The body of an answer on its way.
struct Forwarded {
    body: Incoming,
    fault: watch::Receiver<Fault>,
    shared: Arc<Shared>,
    /// For a watch.
    open: Option<Open>,
    broken: bool,
}

impl Forwarded {
    async fn next(&mut self) -> Option<Result<Frame<Bytes>, std::io::Error>> {
        if self.broken {
            return Some(Err(std::io::Error::other("cut")));
        }
        let frame = tokio::select! {
            biased;
            () = becomes(&mut self.fault, Fault::Silent) => std::future::pending().await,
            frame = self.body.frame() => frame?.map_err(std::io::Error::other),
        };
        let (Some(_), Ok(frame)) = (&self.open, &frame) else { return Some(frame) };
        let data = frame.data_ref()?;
        if data.windows(10).any(|part| part == b"\"code\":410") {
            self.shared.gone.fetch_add(1, Ordering::Relaxed);
        }
        let length = if *self.fault.borrow() == Fault::Cut { data.len() / 2 } else { data.len() };
        self.broken = length < data.len();
        Some(Ok(Frame::data(data.slice(..length))))
    }
}

/// An open watch, counted.
struct Open {
    shared: Arc<Shared>,
    about: String,
}

impl Open {
    fn new(shared: &Arc<Shared>, about: String) -> Open {
        *shared.watches.lock().unwrap().entry(about.clone()).or_default() += 1;
        Open { shared: Arc::clone(shared), about }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut watches = self.shared.watches.lock().unwrap();
        if let Some(count) = watches.get_mut(&self.about) {
            *count -= 1;
        }
        watches.retain(|_, count| *count > 0);
    }
}
