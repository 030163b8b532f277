//! `DeltaDiscoveryResponse` encoded by hand, in parts: large bodies are shared up to the socket.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use proto::{ArcStr, ContentHash, Revision};

use crate::resource::ResourceType;

/// A push.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) kind: ResourceType,
    pub(crate) nonce: u64,
    pub(crate) revision: Revision,
    pub(crate) resources: Vec<Resource>,
    pub(crate) removed: Vec<ArcStr>,
    /// When the oldest change in it was observed, nanoseconds since the Unix epoch; 0 if unknown.
    pub(crate) observed: i64,
}

/// A resource of a push.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) name: ArcStr,
    pub(crate) version: ContentHash,
    pub(crate) body: Bytes,
}

/// Length of a [`ContentHash`] as text.
const VERSION_LEN: usize = 32;

impl Response {
    /// Size of the message in bytes.
    pub(crate) fn encoded_len(&self) -> usize {
        let resources: usize = self.resources.iter().map(|one| framed(one.encoded_len(self.kind))).sum();
        let removed: usize = self.removed.iter().map(|name| framed(name.len())).sum();
        framed(decimal_len(self.revision.0))
            + resources
            + framed(self.kind.url().len())
            + framed(decimal_len(self.nonce))
            + removed
    }

    /// Appends the protobuf message.
    pub(crate) fn encode(&self, parts: &mut Parts) {
        put_bytes(1, self.revision.0.to_string().as_bytes(), &mut parts.last);
        for one in &self.resources {
            encode_key(2, WireType::LengthDelimited, &mut parts.last);
            encode_varint(one.encoded_len(self.kind) as u64, &mut parts.last);
            one.encode(self.kind, parts);
        }
        let buf = &mut parts.last;
        put_bytes(4, self.kind.url().as_bytes(), buf);
        put_bytes(5, self.nonce.to_string().as_bytes(), buf);
        for name in &self.removed {
            put_bytes(6, name.as_bytes(), buf);
        }
    }
}

impl Resource {
    fn any_len(&self, kind: ResourceType) -> usize {
        framed(kind.url().len()) + framed(self.body.len())
    }

    fn encoded_len(&self, kind: ResourceType) -> usize {
        framed(VERSION_LEN) + framed(self.any_len(kind)) + framed(self.name.len())
    }

    fn encode(&self, kind: ResourceType, parts: &mut Parts) {
        let buf = &mut parts.last;
        put_bytes(1, self.version.to_string().as_bytes(), buf);
        encode_key(2, WireType::LengthDelimited, buf);
        encode_varint(self.any_len(kind) as u64, buf);
        put_bytes(1, kind.url().as_bytes(), buf);
        encode_key(2, WireType::LengthDelimited, buf);
        encode_varint(self.body.len() as u64, buf);
        parts.share(&self.body);
        put_bytes(3, self.name.as_bytes(), &mut parts.last);
    }
}

/// Bodies from this size on are shared; below it, copying costs less than a part of its own.
const SHARED: usize = 8 << 10;
/// Parts that are written are not longer than this by much.
const PART: usize = 16 << 10;

/// A message in parts.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    parts: VecDeque<Bytes>,
    last: BytesMut,
}

impl Parts {
    /// Begins with a gRPC frame's header, for a message of `length` bytes.
    pub(crate) fn framed(length: usize) -> Parts {
        let mut parts = Parts::default();
        parts.last.put_u8(0);
        // A response has far fewer than 4 GiB: the bodies of one scope.
        parts.last.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        parts
    }

    fn share(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED {
            self.last.extend_from_slice(bytes);
        }
        if bytes.len() >= SHARED || self.last.len() >= PART {
            self.parts.push_back(self.last.split().freeze());
        }
        if bytes.len() >= SHARED {
            self.parts.push_back(bytes.clone());
        }
    }

    /// All of them, in order; none is empty.
    pub(crate) fn finish(mut self) -> VecDeque<Bytes> {
        if !self.last.is_empty() {
            self.parts.push_back(self.last.freeze());
        }
        self.parts
    }
}

/// Length of a field below number 16 with `len` bytes in it.
fn framed(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn decimal_len(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn put_bytes(tag: u32, bytes: &[u8], buf: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, buf);
    encode_varint(bytes.len() as u64, buf);
    buf.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse;
    use prost::Message;
    use proto::{ContentHash, Revision};

    use super::{Parts, Resource, Response, SHARED};
    use crate::resource::ResourceType;

    #[test]
    fn prost_reads_what_is_written_by_hand() {
        for size in [0, 1, 127, 128, 70_000] {
            let body: bytes::Bytes = vec![7; size].into();
            let version = ContentHash::of(&body);
            let response = Response {
                kind: ResourceType::Route,
                nonce: 10,
                revision: Revision(99),
                resources: vec![Resource { name: "t".into(), version, body: body.clone() }],
                removed: vec!["gone".into(), "too".into()],
                observed: 0,
            };
            let mut parts = Parts::default();
            response.encode(&mut parts);
            let parts = parts.finish();
            assert!(size < SHARED || parts.iter().any(|part| part.as_ptr() == body.as_ptr()));
            let bytes = parts.iter().flatten().copied().collect::<Vec<_>>();
            assert_eq!(bytes.len(), response.encoded_len());
            let read = DeltaDiscoveryResponse::decode(bytes.as_slice()).unwrap();
            assert_eq!((read.nonce.as_str(), read.system_version_info.as_str()), ("10", "99"));
            assert_eq!(read.removed_resources, ["gone", "too"]);
            assert_eq!(read.type_url, ResourceType::Route.url());
            let one = &read.resources[0];
            assert_eq!((one.name.as_str(), one.version.as_str()), ("t", version.to_string().as_str()));
            let any = one.resource.as_ref().unwrap();
            assert_eq!((any.type_url.as_str(), any.value.as_slice()), (ResourceType::Route.url(), &body[..]));
        }
    }
}
