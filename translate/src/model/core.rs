//! Core kinds: namespaces, Services, endpoints, certificates.

use std::collections::BTreeMap;

use proto::{ArcStr, Name};
use serde::{Deserialize, Deserializer};

use super::Meta;

/// A Namespace, for label selectors.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Namespace {
    #[serde(default)]
    pub(crate) metadata: Meta,
}

/// A Service: ports are read, and whether it is a Gateway's; endpoints come from EndpointSlices.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Service {
    #[serde(default)]
    metadata: ServiceMeta,
    #[serde(default)]
    pub(crate) spec: ServiceSpec,
}

impl Service {
    /// Names of the Gateways whose proxies it has, as it says or as it selects.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = &ArcStr> {
        [&self.metadata.labels, &self.spec.selector].into_iter().flatten().filter_map(|of| of.name.as_ref())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct ServiceMeta {
    labels: Option<OfGateway>,
}

/// Of labels, the one that proxies of a Gateway have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct OfGateway {
    #[serde(rename = "gateway.networking.k8s.io/gateway-name")]
    name: Option<ArcStr>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceSpec {
    #[serde(rename = "type")]
    pub(crate) kind: ArcStr,
    pub(crate) ports: Vec<ServicePort>,
    selector: Option<OfGateway>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServicePort {
    #[serde(default)]
    pub(crate) name: ArcStr,
    /// None means TCP, the API's default.
    pub(crate) protocol: Option<ArcStr>,
    pub(crate) port: u16,
    pub(crate) app_protocol: Option<ArcStr>,
}

impl ServicePort {
    /// True if it takes what routes send: TCP. A Service may have the same number for UDP and SCTP as well.
    pub(crate) fn is_tcp(&self) -> bool {
        is_tcp(self.protocol.as_deref())
    }
}

fn is_tcp(protocol: Option<&str>) -> bool {
    matches!(protocol, None | Some("" | "TCP"))
}

/// An EndpointSlice of `discovery.k8s.io/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointSlice {
    #[serde(default)]
    pub(crate) metadata: Meta,
    #[serde(default)]
    pub(crate) address_type: ArcStr,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) endpoints: Vec<Endpoint>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) ports: Vec<EndpointPort>,
}

impl EndpointSlice {
    /// Name of the Service that it belongs to.
    pub(crate) fn service(&self) -> Option<&Name> {
        self.metadata.labels.get("kubernetes.io/service-name")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Endpoint {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) addresses: Vec<ArcStr>,
    #[serde(default)]
    pub(crate) conditions: EndpointConditions,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointConditions {
    /// None means ready.
    pub(crate) ready: Option<bool>,
    /// None means that it serves.
    pub(crate) serving: Option<bool>,
    /// None means that it stays.
    pub(crate) terminating: Option<bool>,
}

impl EndpointConditions {
    pub(crate) fn is_ready(&self) -> bool {
        self.ready != Some(false)
    }

    /// True if it is about to end and still answers.
    pub(crate) fn serves_to_the_end(&self) -> bool {
        self.serving != Some(false) && self.terminating == Some(true)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct EndpointPort {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) name: ArcStr,
    /// None means TCP, the API's default.
    pub(crate) protocol: Option<ArcStr>,
    pub(crate) port: Option<u16>,
}

impl EndpointPort {
    /// True if it takes what routes send.
    pub(crate) fn is_tcp(&self) -> bool {
        is_tcp(self.protocol.as_deref())
    }
}

/// A Secret without anything secret: sources replace the private key by a verdict on it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Secret {
    #[serde(default)]
    pub(crate) data: BTreeMap<ArcStr, ArcStr>,
    #[serde(default)]
    pub(crate) private_key: KeyVerdict,
    #[serde(default)]
    pub(crate) authorities: AuthoritiesVerdict,
}

/// What the source found out about CA certificates: it passes on valid ones alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct AuthoritiesVerdict {
    pub(crate) state: AuthoritiesState,
    pub(crate) message: ArcStr,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum AuthoritiesState {
    /// There, and all of them well-formed.
    Valid,
    /// Not there.
    #[default]
    Missing,
    /// Not PEM, or one of them is no certificate.
    Malformed,
}

/// What the source found out about the private key and its certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct KeyVerdict {
    pub(crate) state: KeyState,
    pub(crate) message: ArcStr,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum KeyState {
    /// There, well-formed, and of this certificate.
    Valid,
    /// Not there.
    #[default]
    Missing,
    /// Certificate or key is not PEM, or of an unknown kind.
    Malformed,
    /// Of another certificate.
    Mismatch,
    /// It was valid, and what holds it cannot be read since the start: proxies that have it keep it.
    Unread,
}

/// A ConfigMap, for CA certificates under `ca.crt`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ConfigMap {
    #[serde(default)]
    pub(crate) data: BTreeMap<ArcStr, ArcStr>,
    #[serde(default)]
    pub(crate) authorities: AuthoritiesVerdict,
}

/// A ClusterTrustBundle of `certificates.k8s.io`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ClusterTrustBundle {
    pub(crate) spec: ClusterTrustBundleSpec,
    #[serde(default)]
    pub(crate) authorities: AuthoritiesVerdict,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterTrustBundleSpec {
    /// PEM certificates.
    #[serde(default)]
    pub(crate) trust_bundle: ArcStr,
    /// Who may change it.
    #[serde(default)]
    #[allow(dead_code)]
    signer_name: ArcStr,
}

/// Kubernetes writes `null` for empty lists.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
