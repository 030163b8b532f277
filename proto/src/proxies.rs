//! What the proxies of a Gateway are made of, for whoever deploys them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ArcStr, AskedAddress, JsonText};

/// Who runs the proxies of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Proxies {
    /// The user: nothing is deployed (`GatewayParameters.spec.selfManaged`).
    SelfManaged,
    /// We: they are deployed beside the Gateway.
    Managed(Arc<ProxySpec>),
}

/// What the proxies of one Gateway need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxySpec {
    /// The ports at which they are reached, in order, each once.
    pub ports: Vec<ProxyPort>,
    /// `spec.infrastructure.labels`, for every object that is made.
    pub labels: BTreeMap<ArcStr, ArcStr>,
    /// `spec.infrastructure.annotations`, for every object that is made.
    pub annotations: BTreeMap<ArcStr, ArcStr>,
    /// Addresses that are asked for, each to be given one; empty if any will do.
    pub addresses: Vec<AskedAddress>,
    /// True if it is told from where each address is reached: the Gateway API has a field for it.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub tells_routability: bool,
    /// `GatewayParameters.spec.kube`, the Gateway's merged over its class's; `null` if there is none.
    pub parameters: JsonText,
}

/// A port of a Gateway's proxies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyPort {
    /// Name of the first listener that has it.
    pub name: ArcStr,
    /// The port as the Gateway has it.
    pub port: u16,
    /// The port that the pod binds (see [`crate::container_ports`]).
    pub target: u16,
}
