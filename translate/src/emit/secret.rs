//! A certificate for SDS, without its private key.

use base64::Engine as _;
use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    SdsSecretConfig, Secret as EnvoySecret, TlsCertificate,
};
use proto::{ContentHash, Kind, PrivateKeyRef, ResourceKey, XdsKey, XdsKind};

use super::{ads, put};
use crate::cx::{Cx, Output};
use crate::ir::Value;
use crate::model::{KeyState, Secret};

const PREFIX: &str = "secret/";

/// Name of the SDS resource of a Secret.
fn name(secret: &ResourceKey) -> String {
    format!("{PREFIX}{}/{}", secret.namespace, secret.name)
}

/// A Secret's certificate, to be asked for by SDS.
pub(crate) fn by_name(secret: &ResourceKey) -> SdsSecretConfig {
    SdsSecretConfig { name: name(secret), sds_config: Some(ads()) }
}

/// The Secret that a name was made of.
pub(crate) fn secret_of(gateway: &ResourceKey, name: &str) -> Option<ResourceKey> {
    let (namespace, name) = name.strip_prefix(PREFIX)?.split_once('/')?;
    Some(gateway.sibling(Kind::SECRET, namespace, name))
}

pub(crate) fn compute(gateway: &ResourceKey, key: &ResourceKey, cx: &mut Cx<'_>) -> Output {
    let mut output = Output::of(Value::Absent);
    let Some(secret) = cx.object::<Secret>(key) else { return output };
    // Of one that cannot be read the proxies that have it keep it.
    if ![KeyState::Valid, KeyState::Unread].contains(&secret.private_key.state) {
        return output;
    }
    let chain = secret.data.get("tls.crt").map(|text| text.as_bytes()).unwrap_or_default();
    let Ok(chain) = base64::engine::general_purpose::STANDARD.decode(chain) else { return output };
    let certificate = ContentHash::of(&chain);
    let message = EnvoySecret {
        name: name(key),
        r#type: Some(Type::TlsCertificate(TlsCertificate {
            certificate_chain: Some(DataSource {
                specifier: Some(Specifier::InlineBytes(chain)),
                ..Default::default()
            }),
            ..TlsCertificate::default()
        })),
    };
    let mut piece = put(XdsKey::new(gateway.clone(), XdsKind::Secret, name(key)), &message);
    piece.private_key = Some(PrivateKeyRef { secret: key.clone(), certificate });
    output.puts.push(piece);
    output
}
