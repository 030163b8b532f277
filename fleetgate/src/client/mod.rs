//! Asks a running fleetgate's admin endpoint: on this machine, or in a pod.

mod pod;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::args::Server;
use pod::Pod;

/// Who is asked.
pub(crate) enum Client {
    /// A process on this machine.
    Local(SocketAddr),
    /// A process in a pod.
    Pod(Pod),
}

impl Client {
    /// Finds who is to be asked.
    ///
    /// # Errors
    /// If the cluster does not answer, or has no such pod.
    pub(crate) async fn of(server: &Server) -> anyhow::Result<Client> {
        Ok(match server.kubernetes {
            true => Client::Pod(Pod::find(server).await?),
            false => Client::Local(server.admin),
        })
    }

    /// Name of the pod that is asked.
    pub(crate) fn pod(&self) -> Option<&str> {
        match self {
            Client::Local(_) => None,
            Client::Pod(pod) => Some(pod.name()),
        }
    }

    /// The body of an answer as JSON.
    ///
    /// # Errors
    /// If nobody answers, or the answer is an error: its sentence.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let body = self.request(path).await?.collect().await.context("the answer was cut off")?.to_bytes();
        serde_json::from_slice(&body)
            .with_context(|| format!("{} does not answer like fleetgate: is --admin right?", self.shown()))
    }

    /// Gives each line of an answer to `each` as it comes.
    ///
    /// # Errors
    /// As [`Client::get`], or those of `each`.
    pub(crate) async fn lines(
        &self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut body = self.request(path).await?;
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

    fn shown(&self) -> String {
        match self {
            Client::Local(admin) => admin.to_string(),
            Client::Pod(pod) => pod.to_string(),
        }
    }

    async fn request(&self, path: &str) -> anyhow::Result<Incoming> {
        match self {
            Client::Local(admin) => {
                let stream = tokio::net::TcpStream::connect(admin).await.with_context(|| {
                    format!(
                        "no fleetgate answers at {admin}: start `fleetgate standalone`, name its --admin \
                         address, or ask one in a cluster with --kubernetes"
                    )
                })?;
                ask(stream, &admin.to_string(), path).await.with_context(|| format!("asking {admin}"))
            }
            Client::Pod(pod) => {
                let (stream, said) = pod.connect().await?;
                match ask(stream, &format!("localhost:{}", pod.port()), path).await {
                    Ok(body) => Ok(body),
                    // What the node says of the port is a better sentence.
                    Err(error) => match tokio::time::timeout(Duration::from_millis(500), said).await {
                        Ok(Some(said)) => bail!("{pod}: {}; is --admin its address there?", said.trim_end()),
                        _ => Err(error.context(format!("asking {pod}"))),
                    },
                }
            }
        }
    }
}

/// Asks over a connection.
async fn ask<S>(stream: S, host: &str, path: &str) -> anyhow::Result<Incoming>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.context("no HTTP there")?;
    tokio::spawn(connection);
    let request = Request::get(path).header(header::HOST, host).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await.context("no answer")?;
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
