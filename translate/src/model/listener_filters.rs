//! `filters` of a listener: what is done with a request before a route is chosen (GEP-5224).

use proto::ArcStr;
use serde::Deserialize;

use super::Reference;

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ListenerFilters {
    /// In the order in which they are run.
    pub(crate) requests: Vec<ListenerFilter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListenerFilter {
    /// `ExternalAuth` or `ExtensionRef`.
    #[serde(rename = "type")]
    pub(crate) kind: ArcStr,
    pub(crate) external_auth: Option<ExternalAuth>,
}

/// `HTTPExternalAuthFilter` (GEP-1494).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExternalAuth {
    /// `HTTP` or `GRPC`.
    pub(crate) protocol: ArcStr,
    pub(crate) backend_ref: Reference,
    #[serde(default)]
    pub(crate) grpc: GrpcAuth,
    #[serde(default)]
    pub(crate) http: HttpAuth,
    #[serde(default)]
    pub(crate) forward_body: ForwardBody,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GrpcAuth {
    /// Headers of the request that the server is told; all, if there are none.
    pub(crate) allowed_headers: Vec<ArcStr>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HttpAuth {
    /// Put before the request's path.
    pub(crate) path: ArcStr,
    /// Headers of the request that the server is told besides those that it always is.
    pub(crate) allowed_headers: Vec<ArcStr>,
    /// Headers of the server's answer that go into the request; all, if there are none.
    pub(crate) allowed_response_headers: Vec<ArcStr>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ForwardBody {
    /// Bytes of the body that the server is told; 0 for none.
    pub(crate) max_size: u32,
}
