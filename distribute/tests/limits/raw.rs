//! HTTP/2 by hand (RFC 9113): frames as an attacker writes them.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const PATH: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header as a literal that is not indexed (RFC 7541, 6.2.2), without Huffman's code.
pub(crate) fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        assert!(text.len() < 127, "lengths of one byte only");
        bytes.push(u8::try_from(text.len()).unwrap());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// The block of headers that opens a delta ADS stream.
pub(crate) fn opening(token: Option<&str>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", PATH),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.extend(header(name, value));
    }
    if let Some(token) = token {
        block.extend(header("authorization", &format!("Bearer {token}")));
    }
    block
}

/// A message with its prefix.
pub(crate) fn message(bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![0];
    message.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    message.extend(bytes);
    message
}

/// A connection whose preface is sent.
pub(crate) struct Raw<S = TcpStream> {
    pub(crate) stream: S,
    /// What the server lets us send: on the connection, and on stream 1.
    windows: (i64, i64),
}

impl Raw {
    pub(crate) async fn connect(server: SocketAddr) -> Raw {
        Raw::over(TcpStream::connect(server).await.unwrap()).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) async fn over(stream: S) -> Raw<S> {
        let mut raw = Raw { stream, windows: (65_535, 65_535) };
        let mut hello = PREFACE.to_vec();
        hello.extend(frame(SETTINGS, 0, 0, &[]));
        raw.write(&hello).await;
        raw
    }

    /// Writes; what a server that has had enough of us does not take is no fault of the test.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Opens stream 1.
    pub(crate) async fn open(&mut self, token: Option<&str>) {
        self.write(&frame(HEADERS, END_HEADERS, 1, &opening(token))).await;
    }

    /// The next frame; none when the server has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes(stream);
        if kind == SETTINGS && flags & ACK == 0 {
            for setting in payload.chunks(6).filter(|setting| setting[..2] == [0, 4]) {
                let window = u32::from_be_bytes(setting[2..].try_into().unwrap());
                self.windows.1 += i64::from(window) - 65_535;
            }
            self.write(&frame(SETTINGS, ACK, 0, &[])).await;
        }
        if kind == WINDOW_UPDATE {
            let more = i64::from(u32::from_be_bytes(payload[..4].try_into().unwrap()));
            match stream {
                0 => self.windows.0 += more,
                _ => self.windows.1 += more,
            }
        }
        Some(Frame { kind, stream, payload })
    }

    /// Sends bytes on stream 1 as the server's windows let it; false if it ended the stream.
    pub(crate) async fn send(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let room = self.windows.0.min(self.windows.1).min(16_000);
            if room <= 0 {
                match self.next().await {
                    Some(frame) if ![RST_STREAM, GOAWAY].contains(&frame.kind) => continue,
                    _ => return false,
                }
            }
            let n = bytes.len().min(usize::try_from(room).unwrap());
            if !self.write(&frame(DATA, 0, 1, &bytes[..n])).await {
                return false;
            }
            self.windows.0 -= i64::try_from(n).unwrap();
            self.windows.1 -= i64::try_from(n).unwrap();
            bytes = &bytes[n..];
        }
        true
    }

    /// Waits until the server closes the connection.
    pub(crate) async fn closed(&mut self) {
        let all = async { while self.next().await.is_some() {} };
        tokio::time::timeout(crate::bed::FOREVER, all).await.expect("the connection stays open");
    }

    /// Waits for a frame of a kind on stream 1.
    pub(crate) async fn until(&mut self, kind: u8) -> Frame {
        let find = async {
            loop {
                let frame = self.next().await.expect("the connection was closed");
                if (frame.kind, frame.stream) == (kind, 1) {
                    return frame;
                }
            }
        };
        tokio::time::timeout(crate::bed::FOREVER, find).await.expect("the frame does not come")
    }
}
