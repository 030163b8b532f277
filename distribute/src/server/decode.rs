//! From bytes to a request, after a look at what it would become: an empty name is two bytes on the wire and
//! dozens in memory.

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};
use tonic::Status;

/// Bytes of all but the names: the node (an Envoy lists its extensions in it) and what it says of an error.
const REST: usize = 512 << 10;

/// # Errors
/// If it is no request, or one that is larger than `names` allows.
pub(super) fn decode(message: Bytes, names: usize) -> Result<DeltaDiscoveryRequest, Status> {
    let wrong = |problem: &str| Status::invalid_argument(format!("not a DeltaDiscoveryRequest: {problem}"));
    let (listed, rest) = sizes(&message).ok_or_else(|| wrong("not protobuf"))?;
    if listed > names {
        return Err(Status::resource_exhausted(format!(
            "the request has {listed} names, more than {names}; split the Gateway"
        )));
    }
    if rest > REST {
        return Err(Status::resource_exhausted(format!(
            "the request has {rest} bytes beside names, more than {REST}; shorten the metadata of the node"
        )));
    }
    DeltaDiscoveryRequest::decode(message).map_err(|error| wrong(&error.to_string()))
}

/// How many names the request has, and how many bytes of other things.
fn sizes(mut message: &[u8]) -> Option<(usize, usize)> {
    let (mut listed, mut rest) = (0, 0);
    while !message.is_empty() {
        let (tag, wire) = decode_key(&mut message).ok()?;
        let length = match wire {
            WireType::Varint => {
                decode_varint(&mut message).ok()?;
                0
            }
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => usize::try_from(decode_varint(&mut message).ok()?).ok()?,
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        message = message.get(length..)?;
        match tag {
            // resource_names_subscribe, resource_names_unsubscribe, initial_resource_versions
            3..=5 => listed += 1,
            _ => rest += length + 1,
        }
    }
    Some((listed, rest))
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::Node;
    use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
    use prost::Message;
    use tonic::Code;

    use super::{REST, decode};

    #[test]
    fn what_would_swell_is_refused_before_it_does() {
        let names = |n: usize| DeltaDiscoveryRequest {
            resource_names_subscribe: vec![String::new(); n],
            resource_names_unsubscribe: vec![String::new(); n],
            initial_resource_versions: (0..n).map(|n| (n.to_string(), "v".to_owned())).collect(),
            ..Default::default()
        };
        let good = decode(names(10).encode_to_vec().into(), 30).unwrap();
        assert_eq!(good, names(10));
        let refused = decode(names(11).encode_to_vec().into(), 30).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let node = Node { id: "x".repeat(REST), ..Default::default() };
        let large = DeltaDiscoveryRequest { node: Some(node), ..Default::default() };
        assert_eq!(decode(large.encode_to_vec().into(), 30).unwrap_err().code(), Code::ResourceExhausted);
        for garbage in [&b"\xff\xff"[..], b"\x1a\xff\xff\xff\xff\x0f", b"\x0b", b"\x1a\x05abc"] {
            assert_eq!(decode(garbage.to_vec().into(), 30).unwrap_err().code(), Code::InvalidArgument);
        }
    }
}
