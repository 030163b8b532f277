//! Joins a private key into a secret at the last moment.

use bytes::Bytes;
use envoy_types::pb::envoy::{
    config::core::v3::{DataSource, data_source::Specifier},
    extensions::transport_sockets::tls::v3::{Secret, secret::Type},
};
use prost::Message;

/// The encoded secret with the private key in its TLS certificate; none if it has no TLS certificate.
pub(crate) fn joined(body: &Bytes, private_key: &Bytes) -> Option<Bytes> {
    let mut secret = Secret::decode(body.clone()).ok()?;
    let Some(Type::TlsCertificate(certificate)) = &mut secret.r#type else { return None };
    let specifier = Some(Specifier::InlineBytes(private_key.to_vec()));
    certificate.private_key = Some(DataSource { specifier, ..Default::default() });
    Some(secret.encode_to_vec().into())
}
