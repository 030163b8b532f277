//! ReferenceGrant: which references may cross namespaces.

use proto::{ArcStr, Name};
use serde::Deserialize;

/// <https://gateway-api.sigs.k8s.io/api-types/referencegrant/>
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ReferenceGrant {
    pub(crate) spec: Spec,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Spec {
    pub(crate) from: Vec<From>,
    pub(crate) to: Vec<To>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct From {
    #[serde(default)]
    pub(crate) group: ArcStr,
    pub(crate) kind: ArcStr,
    pub(crate) namespace: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct To {
    #[serde(default)]
    pub(crate) group: ArcStr,
    pub(crate) kind: ArcStr,
    pub(crate) name: Option<Name>,
}
