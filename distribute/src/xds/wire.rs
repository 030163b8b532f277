//! Reads the little of an encoded cluster that the order of pushes depends on.

use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use proto::ArcStr;

const NAME: u32 = 1;
const TYPE: u32 = 2;
const EDS_CLUSTER_CONFIG: u32 = 3;
const SERVICE_NAME: u32 = 2;
const EDS: u64 = 3;

/// Name of the endpoint set that an EDS cluster will ask for; none for other clusters.
pub(crate) fn endpoints_of(cluster: &Bytes) -> Option<ArcStr> {
    let (mut name, mut service, mut is_eds) = (Bytes::new(), Bytes::new(), false);
    each_field(cluster.clone(), |tag, value| match (tag, value) {
        (NAME, Value::Bytes(bytes)) => name = bytes,
        (TYPE, Value::Number(number)) => is_eds = number == EDS,
        (EDS_CLUSTER_CONFIG, Value::Bytes(config)) => {
            let _ = each_field(config, |tag, value| {
                if let (SERVICE_NAME, Value::Bytes(bytes)) = (tag, value) {
                    service = bytes;
                }
            });
        }
        _ => {}
    })?;
    let name = if service.is_empty() { name } else { service };
    is_eds.then(|| std::str::from_utf8(&name).ok().map(ArcStr::from))?
}

enum Value {
    Number(u64),
    Bytes(Bytes),
}

/// Calls `visit` for each field of a message; none if it is malformed.
fn each_field(mut message: Bytes, mut visit: impl FnMut(u32, Value)) -> Option<()> {
    while message.has_remaining() {
        let (tag, wire_type) = decode_key(&mut message).ok()?;
        match wire_type {
            WireType::Varint => visit(tag, Value::Number(decode_varint(&mut message).ok()?)),
            WireType::LengthDelimited => {
                let len = usize::try_from(decode_varint(&mut message).ok()?).ok()?;
                if len > message.remaining() {
                    return None;
                }
                visit(tag, Value::Bytes(message.split_to(len)));
            }
            _ => skip_field(wire_type, tag, &mut message, DecodeContext::default()).ok()?,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::{
        Cluster,
        cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig},
    };
    use prost::Message;

    fn cluster(kind: DiscoveryType, service_name: &str) -> bytes::Bytes {
        let config = EdsClusterConfig { service_name: service_name.into(), ..Default::default() };
        Cluster {
            name: "a".into(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind.into())),
            eds_cluster_config: Some(config),
            ..Default::default()
        }
        .encode_to_vec()
        .into()
    }

    #[test]
    fn an_eds_cluster_asks_for_its_service_or_itself() {
        assert_eq!(super::endpoints_of(&cluster(DiscoveryType::Eds, "s")).as_deref(), Some("s"));
        assert_eq!(super::endpoints_of(&cluster(DiscoveryType::Eds, "")).as_deref(), Some("a"));
        assert_eq!(super::endpoints_of(&cluster(DiscoveryType::Static, "s")), None);
        assert_eq!(super::endpoints_of(&bytes::Bytes::from_static(&[0xff; 3])), None);
    }
}
