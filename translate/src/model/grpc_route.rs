//! GRPCRoute.

use proto::ArcStr;
use serde::Deserialize;

use super::http_route::{BackendRef, Filter, NameMatch, SessionPersistence};
use super::{Meta, ParentRef};

/// <https://gateway-api.sigs.k8s.io/api-types/grpcroute/>
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct GrpcRoute {
    #[serde(default)]
    pub(crate) metadata: Meta,
    #[serde(default)]
    pub(crate) spec: GrpcSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GrpcSpec {
    pub(crate) parent_refs: Vec<ParentRef>,
    pub(crate) hostnames: Vec<ArcStr>,
    /// None or empty: one rule that matches all.
    pub(crate) rules: Option<Vec<GrpcRule>>,
    /// As in an HTTPRoute.
    pub(crate) use_default_gateways: Option<ArcStr>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GrpcRule {
    pub(crate) name: Option<ArcStr>,
    /// Empty: all gRPC requests.
    pub(crate) matches: Vec<GrpcMatch>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) backend_refs: Vec<BackendRef>,
    pub(crate) session_persistence: Option<SessionPersistence>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct GrpcMatch {
    /// None: all services and methods.
    pub(crate) method: Option<MethodMatch>,
    pub(crate) headers: Vec<NameMatch>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct MethodMatch {
    /// `Exact` (default) or `RegularExpression`, of both service and method.
    #[serde(rename = "type")]
    pub(crate) kind: Option<ArcStr>,
    /// With its package; empty as if it were not there.
    pub(crate) service: Option<ArcStr>,
    /// Empty as if it were not there.
    pub(crate) method: Option<ArcStr>,
}

/// Which gRPC requests a rule matches by their path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rpc {
    /// All of them.
    Any,
    /// Those of a service or a method.
    Method(MethodMatch),
}
