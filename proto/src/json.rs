//! Envoy's messages as JSON, for people and goldens. Costs tens of megabytes: never on the hot path.

use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

/// Decodes Envoy messages by name.
#[derive(Debug)]
pub struct Printer {
    pool: DescriptorPool,
}

/// Why a message cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The descriptors do not have it.
    #[error("no Envoy message is named {0}")]
    UnknownMessage(String),
    /// The bytes are not such a message.
    #[error("not a {0}: {1}")]
    Malformed(String, prost::DecodeError),
    /// It cannot be written as JSON, e.g. an Any of an unknown type.
    #[error("{0} cannot be written as JSON: {1}")]
    Unprintable(String, serde_json::Error),
}

impl Printer {
    /// Loads the descriptors of Envoy's API.
    ///
    /// # Errors
    /// If the build put broken descriptors in.
    pub fn new() -> Result<Self, prost_reflect::DescriptorError> {
        let pool = DescriptorPool::decode(include_bytes!(concat!(env!("OUT_DIR"), "/envoy.bin")).as_ref())?;
        Ok(Printer { pool })
    }

    /// The canonical protobuf JSON form, fields named as in the .proto files (as Envoy's docs do).
    ///
    /// # Errors
    /// If the message is unknown or malformed.
    pub fn to_json(&self, message: &str, body: &[u8]) -> Result<Value, Error> {
        let descriptor = self
            .pool
            .get_message_by_name(message)
            .ok_or_else(|| Error::UnknownMessage(message.to_owned()))?;
        let decoded = DynamicMessage::decode(descriptor, body)
            .map_err(|error| Error::Malformed(message.to_owned(), error))?;
        let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
        decoded
            .serialize_with_options(serde_json::value::Serializer, &options)
            .map_err(|error| Error::Unprintable(message.to_owned(), error))
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use prost::Message;

    #[test]
    fn a_cluster_prints_with_proto_names() {
        let body =
            Cluster { name: "a".into(), alt_stat_name: "b".into(), ..Default::default() }.encode_to_vec();
        let json = super::Printer::new().unwrap().to_json("envoy.config.cluster.v3.Cluster", &body).unwrap();
        assert_eq!(json, serde_json::json!({"name": "a", "alt_stat_name": "b"}));
    }
}
