//! TLSRoute.

use proto::ArcStr;
use serde::Deserialize;

use super::http_route::BackendRef;
use super::{Meta, ParentRef};

/// <https://gateway-api.sigs.k8s.io/api-types/tlsroute/>
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct TlsRoute {
    #[serde(default)]
    pub(crate) metadata: Meta,
    #[serde(default)]
    pub(crate) spec: TlsSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TlsSpec {
    pub(crate) parent_refs: Vec<ParentRef>,
    /// Server names of clients (SNI).
    pub(crate) hostnames: Vec<ArcStr>,
    /// The API allows one.
    pub(crate) rules: Vec<TlsRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TlsRule {
    #[allow(dead_code)]
    name: Option<ArcStr>,
    /// They have no filters here.
    pub(crate) backend_refs: Vec<BackendRef>,
}
