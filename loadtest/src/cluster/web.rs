//! A client of the Gateway with one kept connection.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Asks port 80 of an address.
pub(super) struct Web {
    address: SocketAddr,
    kept: Option<SendRequest<Empty<Bytes>>>,
}

impl Web {
    pub(super) fn new(address: IpAddr) -> Web {
        Web { address: SocketAddr::new(address, 80), kept: None }
    }

    /// Status and body; 0 where there is no answer.
    pub(super) async fn get(&mut self, host: &str) -> (u16, String) {
        match self.ask(host).await {
            Ok(answer) => answer,
            Err(error) => {
                self.kept = None;
                (0, error.to_string())
            }
        }
    }

    async fn ask(&mut self, host: &str) -> anyhow::Result<(u16, String)> {
        let sender = match &mut self.kept {
            Some(sender) if !sender.is_closed() => sender,
            kept => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                let (sender, connection) = handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                kept.insert(sender)
            }
        };
        sender.ready().await?;
        let request = http::Request::get("/").header("host", host).body(Empty::new())?;
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}
