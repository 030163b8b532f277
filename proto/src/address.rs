//! Addresses of Gateways: what is asked for, and what came of it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{ArcStr, literal};

/// From where an address is to be reached (`GatewayAddressRoutabilityType`, GEP-5093); empty for where its kind of
/// Service is reached from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Routability(pub ArcStr);

impl Routability {
    /// It asks for nothing.
    pub const ANY: Routability = Routability(ArcStr::new());
    /// The ClusterIP of a Service.
    pub const CLUSTER: Routability = Routability(literal!("Cluster"));
    /// Reserved for tests: it promises nothing, and must be reported.
    pub const SENTINEL: Routability = Routability(literal!("testing.x-k8s.io/sentinel"));

    /// True if it asks for nothing.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// True if there can be an address of it.
    pub fn is_known(&self) -> bool {
        [Routability::ANY, Routability::CLUSTER, Routability::SENTINEL].contains(self)
    }
}

/// An entry of a Gateway's `spec.addresses`, of type `IPAddress`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct AskedAddress {
    /// The address; none if any will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<ArcStr>,
    /// From where it is to be reached.
    #[serde(skip_serializing_if = "Routability::is_any")]
    pub routability: Routability,
}

/// An address at which a Gateway is reached. In reports it is text where nothing is told of its routability.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Shape", into = "Shape")]
pub struct GatewayAddress {
    /// An IP address, or a name.
    pub value: ArcStr,
    /// None where the Gateway API has no field for it.
    pub routability: Option<Routability>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Shape {
    Text(ArcStr),
    Full { value: ArcStr, routability: Routability },
}

impl From<Shape> for GatewayAddress {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Text(value) => GatewayAddress { value, routability: None },
            Shape::Full { value, routability } => GatewayAddress { value, routability: Some(routability) },
        }
    }
}

impl From<GatewayAddress> for Shape {
    fn from(GatewayAddress { value, routability }: GatewayAddress) -> Self {
        match routability {
            None => Shape::Text(value),
            Some(routability) => Shape::Full { value, routability },
        }
    }
}

impl From<ArcStr> for GatewayAddress {
    fn from(value: ArcStr) -> Self {
        GatewayAddress { value, routability: None }
    }
}

impl GatewayAddress {
    /// As Kubernetes has it (`GatewayStatusAddress`).
    pub fn shown(&self) -> Value {
        let kind = match self.value.parse::<core::net::IpAddr>() {
            Ok(_) => "IPAddress",
            Err(_) => "Hostname",
        };
        let mut shown = json!({"type": kind, "value": self.value.as_str()});
        if let Some(routability) = &self.routability {
            shown["routability"] = routability.0.as_str().into();
        }
        shown
    }
}
