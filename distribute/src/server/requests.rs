//! The requests of one stream, as gRPC frames them (a byte for compression, four for the length): how much of one
//! is held, and for how long, is bounded.

use bytes::{Buf, Bytes, BytesMut};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::{
    aside,
    decode::decode,
    peers::{Reserved, Slot},
};
use crate::{distributor::Options, metrics};

const PREFIX: usize = 5;
/// A request up to this size needs no room of its own.
const SMALL: usize = 64 << 10;
/// How much longer than it may be silent a request may take in all.
const IN_ALL: u32 = 6;

/// The requests of a stream.
pub(super) struct Requests {
    body: Incoming,
    slot: Slot,
    options: Options,
    /// What has come and belongs to no message yet.
    chunk: Bytes,
    prefix: [u8; PREFIX],
    filled: usize,
    length: usize,
    message: BytesMut,
    /// When the message began, and when something of it came last.
    pace: Option<(Instant, Instant)>,
    reserved: Option<Reserved>,
}

impl Requests {
    pub(super) fn new(body: Incoming, slot: Slot, options: Options) -> Requests {
        Requests {
            body,
            slot,
            options,
            chunk: Bytes::new(),
            prefix: [0; PREFIX],
            filled: 0,
            length: 0,
            message: BytesMut::new(),
            // The first one is on its way from the beginning.
            pace: Some((Instant::now(), Instant::now())),
            reserved: None,
        }
    }

    /// The next request; none at the end. The room for the one before is given back: it is handled. May be called
    /// again after it was dropped half-way.
    ///
    /// # Errors
    /// The status to end the stream with.
    pub(super) async fn next(&mut self) -> Result<Option<DeltaDiscoveryRequest>, Status> {
        if self.filled == 0 {
            self.reserved = None;
        }
        loop {
            if self.filled == PREFIX && self.message.len() == self.length {
                return self.complete().map(Some);
            }
            if !self.chunk.is_empty() {
                self.take().await?;
            } else if !self.fetch().await? {
                return Ok(None);
            }
        }
    }

    /// Moves bytes from the chunk into the message.
    async fn take(&mut self) -> Result<(), Status> {
        if self.filled < PREFIX {
            let n = self.chunk.len().min(PREFIX - self.filled);
            self.chunk.copy_to_slice(&mut self.prefix[self.filled..self.filled + n]);
            self.filled += n;
            if self.filled == PREFIX {
                self.length = self.announced()?;
            }
            return Ok(());
        }
        if self.length > SMALL && self.reserved.is_none() {
            self.reserved = Some(self.slot.reserve(self.length).await);
            self.message.reserve(self.length);
            // The peer had to wait for us.
            self.pace = Some((Instant::now(), Instant::now()));
        }
        let n = self.chunk.len().min(self.length - self.message.len());
        self.message.extend_from_slice(&self.chunk.split_to(n));
        Ok(())
    }

    fn announced(&self) -> Result<usize, Status> {
        let [compressed, length @ ..] = self.prefix;
        if compressed != 0 {
            return Err(Status::unimplemented("a compressed request: send it as it is"));
        }
        let (length, limit) = (u32::from_be_bytes(length) as usize, self.options.max_request_bytes);
        if length > limit {
            metrics::refused("request_bytes");
            return Err(Status::resource_exhausted(format!(
                "a request of {length} bytes, more than {limit}; split the Gateway"
            )));
        }
        Ok(length)
    }

    /// Waits for more bytes; false at the end of the stream.
    async fn fetch(&mut self) -> Result<bool, Status> {
        let frame = match self.pace {
            None => self.body.frame().await,
            Some((begun, last)) => {
                let silence = self.options.request_timeout;
                let deadline = (begun + silence * IN_ALL).min(last + silence);
                timeout_at(deadline, self.body.frame()).await.map_err(|_| {
                    metrics::refused("slow_request");
                    Status::deadline_exceeded(match self.filled {
                        0 => "no request came on the stream: the proxy must send one with its node",
                        _ => "half a request came, and its rest did not in time",
                    })
                })?
            }
        };
        let Some(frame) = frame else {
            let whole = self.filled == 0;
            return if whole { Ok(false) } else { Err(Status::invalid_argument("half a request came")) };
        };
        let frame = frame.map_err(|error| Status::cancelled(format!("the stream broke off: {error}")))?;
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            let now = Instant::now();
            self.pace = Some((self.pace.map_or(now, |(begun, _)| begun), now));
            self.chunk = data;
        }
        Ok(true)
    }

    fn complete(&mut self) -> Result<DeltaDiscoveryRequest, Status> {
        let message = std::mem::take(&mut self.message).freeze();
        // What has come of the next one has just come.
        self.pace = (!self.chunk.is_empty()).then(|| (Instant::now(), Instant::now()));
        (self.filled, self.length) = (0, 0);
        // A request subscribes to names, or says which it has, and a proxy may have as many of each.
        let names = self.options.max_subscriptions * 2;
        let decoded = aside(message.len() > SMALL, || decode(message, names));
        if decoded.is_err() {
            metrics::refused("request");
        }
        decoded
    }
}
