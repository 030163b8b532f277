//! HTTPRoute, which is also the form that a GRPCRoute is served in.

use proto::ArcStr;
use serde::Deserialize;

use super::{GepDuration, Meta, ParentRef, Reference, Rpc};

/// <https://gateway-api.sigs.k8s.io/api-types/httproute/>
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct HttpRoute {
    #[serde(default)]
    pub(crate) metadata: Meta,
    #[serde(default)]
    pub(crate) spec: Spec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Spec {
    pub(crate) parent_refs: Vec<ParentRef>,
    pub(crate) hostnames: Vec<ArcStr>,
    /// None: one rule that matches all.
    pub(crate) rules: Option<Vec<Rule>>,
    /// Of the experimental channel; default Gateways are not supported.
    pub(crate) use_default_gateways: Option<ArcStr>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    pub(crate) name: Option<ArcStr>,
    /// Empty: all requests.
    pub(crate) matches: Vec<Match>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) backend_refs: Vec<BackendRef>,
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: Option<Retry>,
    pub(crate) session_persistence: Option<SessionPersistence>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Match {
    pub(crate) path: PathMatch,
    pub(crate) headers: Vec<NameMatch>,
    pub(crate) query_params: Vec<NameMatch>,
    pub(crate) method: Option<ArcStr>,
    /// What of a GRPCRoute the path was made of; such a match takes gRPC requests alone. None in an HTTPRoute.
    #[serde(skip)]
    pub(crate) rpc: Option<Rpc>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct PathMatch {
    /// `Exact`, `PathPrefix` or `RegularExpression`.
    #[serde(rename = "type")]
    pub(crate) kind: ArcStr,
    pub(crate) value: ArcStr,
}

impl Default for PathMatch {
    fn default() -> Self {
        PathMatch { kind: proto::literal!("PathPrefix"), value: proto::literal!("/") }
    }
}

/// A header or a query parameter and the value it must have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct NameMatch {
    /// `Exact` (default) or `RegularExpression`.
    #[serde(rename = "type")]
    pub(crate) kind: Option<ArcStr>,
    pub(crate) name: ArcStr,
    pub(crate) value: ArcStr,
}

/// One type for every position that filters can stand in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter {
    #[serde(rename = "type")]
    pub(crate) kind: ArcStr,
    pub(crate) request_header_modifier: Option<HeaderFilter>,
    pub(crate) response_header_modifier: Option<HeaderFilter>,
    pub(crate) request_mirror: Option<Mirror>,
    pub(crate) request_redirect: Option<Redirect>,
    pub(crate) url_rewrite: Option<UrlRewrite>,
    pub(crate) cors: Option<Cors>,
    pub(crate) extension_ref: Option<Reference>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct HeaderFilter {
    pub(crate) set: Vec<Header>,
    pub(crate) add: Vec<Header>,
    pub(crate) remove: Vec<ArcStr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Header {
    pub(crate) name: ArcStr,
    pub(crate) value: ArcStr,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mirror {
    pub(crate) backend_ref: Reference,
    pub(crate) percent: Option<u32>,
    pub(crate) fraction: Option<Fraction>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Fraction {
    pub(crate) numerator: u32,
    pub(crate) denominator: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Redirect {
    pub(crate) scheme: Option<ArcStr>,
    pub(crate) hostname: Option<ArcStr>,
    pub(crate) path: Option<PathModifier>,
    pub(crate) port: Option<u16>,
    pub(crate) status_code: Option<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct UrlRewrite {
    pub(crate) hostname: Option<ArcStr>,
    pub(crate) path: Option<PathModifier>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum PathModifier {
    #[serde(rename_all = "camelCase")]
    ReplaceFullPath { replace_full_path: ArcStr },
    #[serde(rename_all = "camelCase")]
    ReplacePrefixMatch { replace_prefix_match: ArcStr },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Cors {
    pub(crate) allow_origins: Vec<ArcStr>,
    pub(crate) allow_credentials: Option<bool>,
    pub(crate) allow_methods: Vec<ArcStr>,
    pub(crate) allow_headers: Vec<ArcStr>,
    pub(crate) expose_headers: Vec<ArcStr>,
    /// Seconds.
    pub(crate) max_age: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct BackendRef {
    group: Option<ArcStr>,
    kind: Option<ArcStr>,
    namespace: Option<ArcStr>,
    name: ArcStr,
    port: Option<u16>,
    pub(crate) weight: Option<u32>,
    #[serde(default)]
    pub(crate) filters: Vec<Filter>,
}

impl BackendRef {
    /// The object referred to.
    pub(crate) fn reference(&self) -> Reference {
        Reference {
            group: self.group.clone(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            port: self.port,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Timeouts {
    pub(crate) request: Option<GepDuration>,
    pub(crate) backend_request: Option<GepDuration>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Retry {
    pub(crate) codes: Vec<u16>,
    /// Default 1; 0 disables.
    pub(crate) attempts: Option<u32>,
    pub(crate) backoff: Option<GepDuration>,
}

/// `SessionPersistence` of v1.7, with the fields that it had before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SessionPersistence {
    /// `Cookie` (default) or `Header`.
    #[serde(rename = "type")]
    pub(crate) kind: Option<ArcStr>,
    pub(crate) absolute_timeout: Option<GepDuration>,
    pub(crate) cookie: Option<SessionCookie>,
    pub(crate) header: Option<SessionHeader>,
    /// Before v1.7.
    pub(crate) session_name: Option<ArcStr>,
    /// Before v1.7.
    pub(crate) idle_timeout: Option<GepDuration>,
    /// Before v1.7.
    pub(crate) cookie_config: Option<SessionCookie>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SessionCookie {
    pub(crate) name: Option<ArcStr>,
    pub(crate) path: Option<ArcStr>,
    /// `Session` (default) or `Permanent`.
    pub(crate) lifetime_type: Option<ArcStr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct SessionHeader {
    pub(crate) name: ArcStr,
}
