//! References from one object to another.

use proto::{ArcStr, Kind, Name};
use serde::{Deserialize, Serialize};

/// A reference to an object of any kind, with an optional namespace and port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reference {
    /// None where the reference's default group holds.
    pub(crate) group: Option<ArcStr>,
    /// None where the reference's default kind holds.
    pub(crate) kind: Option<ArcStr>,
    pub(crate) namespace: Option<Name>,
    pub(crate) name: Name,
    pub(crate) port: Option<u16>,
}

impl Reference {
    /// To an object of a kind, by its name alone.
    pub(crate) fn of(kind: &Kind, name: &Name) -> Reference {
        Reference {
            group: Some(kind.group().into()),
            kind: Some(kind.kind().into()),
            namespace: None,
            name: name.clone(),
            port: None,
        }
    }

    /// The kind referred to.
    pub(crate) fn kind_or(&self, group: &str, kind: &str) -> Kind {
        Kind::new(self.group.as_deref().unwrap_or(group), self.kind.as_deref().unwrap_or(kind))
    }
}

/// Where a route wants to attach.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ParentRef {
    #[serde(default = "gateway_group")]
    pub(crate) group: ArcStr,
    #[serde(default = "gateway_kind")]
    pub(crate) kind: ArcStr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<Name>,
    pub(crate) name: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) section_name: Option<ArcStr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
}

fn gateway_group() -> ArcStr {
    proto::literal!("gateway.networking.k8s.io")
}

fn gateway_kind() -> ArcStr {
    proto::literal!("Gateway")
}
