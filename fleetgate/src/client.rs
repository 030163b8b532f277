//! Asks a running fleetgate's admin endpoint.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

/// The body of an answer as JSON.
///
/// # Errors
/// If nobody answers, or the answer is an error: its sentence.
pub(crate) async fn get<T: DeserializeOwned>(admin: SocketAddr, path: &str) -> anyhow::Result<T> {
    let body = request(admin, path).await?.collect().await.context("the answer was cut off")?.to_bytes();
    serde_json::from_slice(&body)
        .with_context(|| format!("{admin} does not answer like fleetgate: is --admin right?"))
}

/// Gives each line of an answer to `each` as it comes.
///
/// # Errors
/// As [`get`], or those of `each`.
pub(crate) async fn lines(
    admin: SocketAddr,
    path: &str,
    mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut body = request(admin, path).await?;
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("the answer was cut off")?.into_data() else { continue };
        rest.extend_from_slice(&data);
        let whole = rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        for line in rest[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            each(line)?;
        }
        rest.drain(..whole);
    }
    Ok(())
}

async fn request(admin: SocketAddr, path: &str) -> anyhow::Result<Incoming> {
    let stream = tokio::net::TcpStream::connect(admin).await.with_context(|| {
        format!("no fleetgate answers at {admin}: start `fleetgate standalone` or name its --admin address")
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.context("no HTTP at --admin")?;
    tokio::spawn(connection);
    let request = Request::get(path).header(header::HOST, admin.to_string()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await.with_context(|| format!("asking {admin}"))?;
    let status = response.status();
    if status != StatusCode::OK {
        let body = response.into_body().collect().await?.to_bytes();
        bail!("{}", String::from_utf8_lossy(&body).trim_end());
    }
    // The connection is dropped with its sender only when the body ends.
    let body = response.into_body();
    tokio::spawn(async move { sender.ready().await });
    Ok(body)
}
