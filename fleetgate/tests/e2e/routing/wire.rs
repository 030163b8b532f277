//! HTTP/1.1 as bytes, so that requests can be odd, over a connection that is kept.

use std::net::Ipv4Addr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::harness::DEADLINE;

/// An answer as it was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// The first value of a header, by its lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// A connection to a port, opened when it is needed.
pub(super) struct Wire {
    port: u16,
    stream: Option<BufReader<TcpStream>>,
}

impl Wire {
    pub(super) fn to(port: u16) -> Wire {
        Wire { port, stream: None }
    }

    /// Sends a request's bytes and reads one answer; without a body if the request is HEAD.
    pub(super) async fn ask(&mut self, request: &[u8], head: bool) -> Result<Reply, String> {
        let answer = tokio::time::timeout(DEADLINE, self.exchange(request, head)).await;
        let answer = answer.unwrap_or_else(|_| Err("no answer".to_owned()));
        let closes = |reply: &Reply| reply.header("connection").is_some_and(|value| value == "close");
        if answer.as_ref().map_or(true, closes) {
            self.stream = None;
        }
        answer
    }

    async fn exchange(&mut self, request: &[u8], head: bool) -> Result<Reply, String> {
        if self.stream.is_none() {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.map_err(text)?;
            stream.set_nodelay(true).map_err(text)?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut().ok_or("not connected")?;
        // What is refused early may be answered before all of it is taken.
        let written = stream.write_all(request).await;
        match read(stream, head).await {
            Ok(reply) => Ok(reply),
            Err(error) => Err(written.err().map_or(error, |error| format!("while writing: {error}"))),
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>, head: bool) -> Result<Reply, String> {
    let first = line(stream).await?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status: u16 = status.ok_or_else(|| format!("no status line: {first:?}"))?;
    let mut reply = Reply { status, ..Reply::default() };
    loop {
        let line = line(stream).await?;
        let Some((name, value)) = line.split_once(':') else { break };
        reply.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    if head || status == 204 || status == 304 {
        return Ok(reply);
    }
    if reply.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(&line(stream).await?, 16).map_err(text)?;
            take(stream, size, &mut reply.body).await?;
            line(stream).await?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = reply.header("content-length") {
        let length = length.parse().map_err(text)?;
        take(stream, length, &mut reply.body).await?;
    } else {
        stream.read_to_end(&mut reply.body).await.map_err(text)?;
    }
    Ok(reply)
}

async fn take(stream: &mut BufReader<TcpStream>, count: usize, to: &mut Vec<u8>) -> Result<(), String> {
    let start = to.len();
    to.resize(start + count, 0);
    stream.read_exact(&mut to[start..]).await.map(drop).map_err(text)
}

async fn line(stream: &mut BufReader<TcpStream>) -> Result<String, String> {
    let mut bytes = Vec::new();
    stream.read_until(b'\n', &mut bytes).await.map_err(text)?;
    if bytes.is_empty() {
        return Err("closed".to_owned());
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
