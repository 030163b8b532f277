//! `DeltaDiscoveryResponse` with shared bodies, encoded by hand: each body is copied once, into the
//! buffer that goes to the socket.

use bytes::{BufMut, Bytes};
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
    pub(crate) fn encode(&self, buf: &mut impl BufMut) {
        put_bytes(1, self.revision.0.to_string().as_bytes(), buf);
        for one in &self.resources {
            encode_key(2, WireType::LengthDelimited, buf);
            encode_varint(one.encoded_len(self.kind) as u64, buf);
            one.encode(self.kind, buf);
        }
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

    fn encode(&self, kind: ResourceType, buf: &mut impl BufMut) {
        put_bytes(1, self.version.to_string().as_bytes(), buf);
        encode_key(2, WireType::LengthDelimited, buf);
        encode_varint(self.any_len(kind) as u64, buf);
        put_bytes(1, kind.url().as_bytes(), buf);
        put_bytes(2, &self.body, buf);
        put_bytes(3, self.name.as_bytes(), buf);
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

    use super::{Resource, Response};
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
            let mut bytes = Vec::new();
            response.encode(&mut bytes);
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
