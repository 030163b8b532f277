//! TLSRoute, which is also the form that a TCPRoute is served in.

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
    /// Server names of clients (SNI); none in a TCPRoute.
    pub(crate) hostnames: Vec<ArcStr>,
    /// The API allows one.
    pub(crate) rules: Vec<L4Rule>,
    /// As in an HTTPRoute.
    pub(crate) use_default_gateways: Option<ArcStr>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct L4Rule {
    #[allow(dead_code)]
    name: Option<ArcStr>,
    /// They have no filters here.
    pub(crate) backend_refs: Vec<BackendRef>,
}

/// <https://gateway-api.sigs.k8s.io/api-types/tcproute/>
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct TcpRoute {
    #[serde(default)]
    pub(crate) metadata: Meta,
    #[serde(default)]
    pub(crate) spec: TcpSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TcpSpec {
    pub(crate) parent_refs: Vec<ParentRef>,
    /// The API allows one.
    pub(crate) rules: Vec<L4Rule>,
    /// As in an HTTPRoute.
    pub(crate) use_default_gateways: Option<ArcStr>,
}
