//! As much of SPDY/3.1 as `kubectl port-forward` speaks inside of a WebSocket
//! (<https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/>): the client opens two streams for each
//! connection, one for data, one for what goes wrong. Nobody minds windows.

mod headers;

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::ports::forward;
use super::{QUEUE, Socket, next, sending};
use crate::node::container::process::Entrance;
use headers::{Headers, Inflate};

const HEADER: usize = 8;
const FIN: u8 = 1;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;

/// A frame as it came.
#[derive(Debug, PartialEq, Eq)]
enum Frame {
    Control { kind: u16, payload: Bytes },
    Data { stream: u32, fin: bool, payload: Bytes },
}

/// Serves until the client goes, or says what makes no sense.
pub(super) async fn serve(socket: Socket, pod: Entrance) {
    let (sink, mut stream) = socket.split();
    let mut connection = Connection {
        pod,
        out: sending(sink),
        inflate: Inflate::new(),
        replied: false,
        waiting: BTreeMap::new(),
        inputs: BTreeMap::new(),
        ended: BTreeSet::new(),
    };
    let mut buffer = BytesMut::new();
    while let Some(message) = next(&mut stream).await {
        buffer.extend_from_slice(&message);
        while let Some(frame) = take_frame(&mut buffer) {
            if connection.take(frame).await.is_none() {
                return;
            }
        }
    }
}

struct Connection {
    pod: Entrance,
    out: mpsc::Sender<Bytes>,
    inflate: Inflate,
    /// The stream of compressed headers to the client has begun.
    replied: bool,
    /// The stream whose other one is not there yet, by request.
    waiting: BTreeMap<String, Headers>,
    /// Where data of streams goes.
    inputs: BTreeMap<u32, mpsc::Sender<Bytes>>,
    /// Streams of data that ended before the other one was there.
    ended: BTreeSet<u32>,
}

impl Connection {
    /// None if the connection is to end.
    async fn take(&mut self, frame: Frame) -> Option<()> {
        match frame {
            Frame::Control { kind: SYN_STREAM, payload } => self.opened(&payload).await?,
            Frame::Control { kind: PING, payload } => self.out.send(control(PING, &payload)).await.ok()?,
            Frame::Control { kind: RST_STREAM, payload } => {
                let id = payload.get(..4).map(|mut id| id.get_u32())?;
                self.inputs.remove(&id);
            }
            Frame::Control { kind: GOAWAY, .. } => return None,
            Frame::Control { .. } => {}
            Frame::Data { stream, fin, payload } => {
                if let Some(input) = self.inputs.get(&stream)
                    && !payload.is_empty()
                {
                    // Whoever read it has gone: so is the connection's other end.
                    let _ = input.send(payload).await;
                }
                if fin && self.inputs.remove(&stream).is_none() {
                    self.ended.insert(stream);
                }
            }
        }
        Some(())
    }

    /// A stream was opened; with the second of a request its port is forwarded.
    async fn opened(&mut self, payload: &[u8]) -> Option<()> {
        let id = payload.get(..4)?.get_u32() & 0x7fff_ffff;
        let headers = self.inflate.headers(id, payload.get(10..)?)?;
        let begins = !std::mem::replace(&mut self.replied, true);
        let reply = [&id.to_be_bytes()[..], &headers::none(begins)].concat();
        self.out.send(control(SYN_REPLY, &reply)).await.ok()?;
        let Some(other) = self.waiting.remove(&headers.request) else {
            self.waiting.insert(headers.request.clone(), headers);
            return Some(());
        };
        let (data, errors) = if headers.is_data { (headers, other.stream) } else { (other, headers.stream) };
        let (input, received) = mpsc::channel(QUEUE);
        if !self.ended.remove(&data.stream) {
            self.inputs.insert(data.stream, input);
        }
        self.ended.remove(&errors);
        let (out, pod) = (self.out.clone(), self.pod.clone());
        tokio::spawn(async move {
            let forwarded =
                forward(&pod, data.port, received, &out, |bytes| data_frame(data.stream, 0, bytes)).await;
            if let Err(why) = forwarded {
                let _ = out.send(data_frame(errors, 0, why.as_bytes())).await;
            }
            for stream in [errors, data.stream] {
                let _ = out.send(data_frame(stream, FIN, &[])).await;
            }
        });
        Some(())
    }
}

/// The next whole frame.
fn take_frame(buffer: &mut BytesMut) -> Option<Frame> {
    let header = buffer.get(..HEADER)?;
    let (first, second) = (header.get(..4)?.get_u32(), header.get(4..)?.get_u32());
    let length = usize::try_from(second & 0x00ff_ffff).ok()?;
    if buffer.len() < HEADER + length {
        return None;
    }
    buffer.advance(HEADER);
    let payload = buffer.split_to(length).freeze();
    Some(match first >> 31 {
        1 => Frame::Control { kind: (first & 0xffff) as u16, payload },
        _ => Frame::Data { stream: first, fin: (second >> 24) as u8 & FIN != 0, payload },
    })
}

fn control(kind: u16, payload: &[u8]) -> Bytes {
    frame(0x8003_0000 | u32::from(kind), 0, payload)
}

fn data_frame(stream: u32, flags: u8, payload: &[u8]) -> Bytes {
    frame(stream, flags, payload)
}

fn frame(first: u32, flags: u8, payload: &[u8]) -> Bytes {
    let length = u32::try_from(payload.len()).unwrap_or_default();
    let second = u32::from(flags) << 24 | length;
    [&first.to_be_bytes()[..], &second.to_be_bytes(), payload].concat().into()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn frames_come_in_pieces() {
        let sent = [control(PING, &[0, 0, 0, 1]), data_frame(3, FIN, b"abc")].concat();
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for byte in sent {
            buffer.extend_from_slice(&[byte]);
            frames.extend(take_frame(&mut buffer));
        }
        let ping = Frame::Control { kind: PING, payload: Bytes::from_static(&[0, 0, 0, 1]) };
        assert_eq!(frames, [ping, Frame::Data { stream: 3, fin: true, payload: Bytes::from_static(b"abc") }]);
    }
}
