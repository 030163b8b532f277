//! What `kubectl exec` and `port-forward` open: the API server passes their WebSockets on to a node that declares
//! `ExtendWebSocketsToKubelet` (KEP-4006).
//!
//! Messages begin with the number of a channel (`v4.channel.k8s.io`, `v5.channel.k8s.io`), or are pieces of a SPDY
//! connection (`SPDY/3.1+portforward.k8s.io`, what `kubectl port-forward` speaks).

mod exec;
mod ports;
mod spdy;

use bytes::Bytes;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::container::process::Entrance;
use super::serve::Body;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

const CHANNELS: &[&str] = &["v5.channel.k8s.io", "v4.channel.k8s.io"];
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// Messages on their way to the client.
const QUEUE: usize = 16;

/// Forwards ports of a pod: of the query if each has channels of its own.
pub(super) fn forward_ports(
    request: Request<Incoming>,
    ports: Vec<u16>,
    pod: Entrance,
) -> Result<Response<Body>, String> {
    let offered = [&[TUNNEL][..], &CHANNELS[1..]].concat();
    accept(request, &offered, move |socket, protocol| async move {
        match protocol {
            TUNNEL => spdy::serve(socket, pod).await,
            _ => ports::serve(socket, &ports, pod).await,
        }
    })
}

/// Runs a command in a container.
pub(super) fn run(
    request: Request<Incoming>,
    words: Vec<String>,
    container: Entrance,
) -> Result<Response<Body>, String> {
    accept(request, CHANNELS, move |socket, _| async move { exec::serve(socket, &words, &container).await })
}

/// Answers a handshake, and serves the socket that comes of it with the first protocol that both know.
fn accept<F>(
    mut request: Request<Incoming>,
    known: &[&'static str],
    serve: impl FnOnce(Socket, &'static str) -> F + Send + 'static,
) -> Result<Response<Body>, String>
where
    F: Future<Output = ()> + Send + 'static,
{
    let text = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let key = text(SEC_WEBSOCKET_KEY).ok_or("only WebSockets are served here")?;
    let accept = derive_accept_key(key.as_bytes());
    let offered: Vec<&str> =
        text(SEC_WEBSOCKET_PROTOCOL).unwrap_or_default().split(',').map(str::trim).collect();
    let protocol = known.iter().find(|known| offered.contains(known));
    let protocol =
        *protocol.ok_or_else(|| format!("of {offered:?} none is known here, which are {known:?}"))?;
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        serve(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await, protocol)
            .await;
    });
    let mut response = Response::new(Empty::new().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(accept).map_err(|error| error.to_string())?);
    Ok(response)
}

/// Where messages to the client go; it ends the socket when it is dropped.
fn sending(mut sink: SplitSink<Socket, Message>) -> mpsc::Sender<Bytes> {
    let (sender, mut messages) = mpsc::channel::<Bytes>(QUEUE);
    tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            if sink.send(Message::Binary(message)).await.is_err() {
                return;
            }
        }
        // Without a code clients take it for a failure.
        let end = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        let _ = sink.send(Message::Close(Some(end))).await;
        let _ = sink.close().await;
    });
    sender
}

/// The next message with content; none at the end.
async fn next(
    stream: &mut (
             impl futures_util::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin
         ),
) -> Option<Bytes> {
    loop {
        match stream.next().await? {
            Ok(Message::Binary(bytes)) => return Some(bytes),
            Ok(Message::Text(text)) => return Some(text.into()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}
