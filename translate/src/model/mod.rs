//! Our types of the API fields that we read.
//!
//! An object is decoded once, here. One that does not decode becomes a fault with the field's path.

mod backend_tls_policy;
mod core;
mod definition;
mod duration;
mod gateway;
mod gateway_parameters;
mod gateway_tls;
mod grpc_route;
mod http_route;
mod l4_route;
mod listener_filters;
mod listener_set;
mod reference;
mod reference_grant;
mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::Model;
use proto::{ArcStr, Fault, Kind, ResourceKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cx::GatewayApi;

pub(crate) use self::core::{
    AuthoritiesState, AuthoritiesVerdict, ClusterTrustBundle, ConfigMap, EndpointSlice, KeyState, Namespace,
    Secret, Service, ServicePort,
};
pub(crate) use backend_tls_policy::{BackendTlsPolicy, SubjectAltName, TargetRef, Validation};
pub(crate) use definition::CustomResourceDefinition;
pub(crate) use duration::GepDuration;
pub(crate) use gateway::{AllowedRoutes, Gateway, GatewayClass, Listener, RouteNamespaces};
pub(crate) use gateway_parameters::{GatewayParameters, merge as merge_parameters};
pub(crate) use gateway_tls::{ClientValidation, FrontendTls, Place, ValidationMode};
pub(crate) use grpc_route::{GrpcMatch, GrpcRoute, GrpcRule, MethodMatch, Rpc};
pub(crate) use http_route::{
    BackendRef, Cors, Filter, Fraction, HeaderFilter, HttpRoute, Match, Mirror, NameMatch, PathMatch,
    PathModifier, Redirect, Rule, SessionPersistence, Spec, Timeouts, UrlRewrite,
};
pub(crate) use l4_route::{TcpRoute, TlsRoute, TlsSpec};
pub(crate) use listener_filters::ExternalAuth;
pub(crate) use listener_set::ListenerSet;
pub(crate) use reference::{ParentRef, Reference};
pub(crate) use reference_grant::ReferenceGrant;
pub use validate::validate;

/// The part of `metadata` that translation reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    pub(crate) labels: BTreeMap<ArcStr, ArcStr>,
    /// RFC 3339 in UTC, so text order is time order; empty where the source has none.
    pub(crate) creation_timestamp: ArcStr,
}

macro_rules! models {
    ($($kind:ident => $model:ident),* $(,)?; on_demand: $($lazy_kind:ident => $lazy:ident),* $(,)?) => {
        /// An object in decoded form.
        #[derive(Debug)]
        pub(crate) enum Decoded {
            $(#[allow(missing_docs)] $model(Arc<$model>),)*
            /// Decoded by the one node that reads it, and not kept.
            OnDemand,
            /// Of a kind that translation does not read.
            Other,
        }

        $(impl Model<GatewayApi> for $model {
            const KIND: Kind = Kind::$kind;
            fn parse(key: &ResourceKey, json: &[u8]) -> Result<Self, Fault> {
                parse(key, json)
            }
            fn of(decoded: &Decoded) -> Option<Arc<Self>> {
                match decoded {
                    Decoded::$model(model) => Some(Arc::clone(model)),
                    _ => None,
                }
            }
        })*

        $(impl Model<GatewayApi> for $lazy {
            const KIND: Kind = Kind::$lazy_kind;
            fn parse(key: &ResourceKey, json: &[u8]) -> Result<Self, Fault> {
                parse(key, json)
            }
            fn of(_: &Decoded) -> Option<Arc<Self>> {
                None
            }
        })*

        /// Decodes an object.
        pub(crate) fn decode(key: &ResourceKey, json: &[u8]) -> Result<Decoded, Fault> {
            $(if key.kind == Kind::$kind {
                return parse(key, json).map(|model| Decoded::$model(Arc::new(model)));
            })*
            $(if key.kind == Kind::$lazy_kind {
                return Ok(Decoded::OnDemand);
            })*
            Ok(Decoded::Other)
        }

        /// Kinds that translation reads: what a source has to send.
        pub const KINDS: &[Kind] = &[$(Kind::$kind,)* $(Kind::$lazy_kind,)*];
    };
}

models! {
    NAMESPACE => Namespace,
    GATEWAY_CLASS => GatewayClass,
    REFERENCE_GRANT => ReferenceGrant,
    SECRET => Secret,
    CONFIG_MAP => ConfigMap,
    CLUSTER_TRUST_BUNDLE => ClusterTrustBundle,
    CUSTOM_RESOURCE_DEFINITION => CustomResourceDefinition,
    SERVICE => Service,
    ENDPOINT_SLICE => EndpointSlice,
    BACKEND_TLS_POLICY => BackendTlsPolicy,
    GATEWAY_PARAMETERS => GatewayParameters,
    LISTENER_SET => ListenerSet,
    GATEWAY => Gateway;
    on_demand: HTTP_ROUTE => HttpRoute, GRPC_ROUTE => GrpcRoute, TLS_ROUTE => TlsRoute, TCP_ROUTE => TcpRoute,
}

/// Decodes the JSON of an object of a known kind.
pub(crate) fn parse<M: DeserializeOwned>(key: &ResourceKey, json: &[u8]) -> Result<M, Fault> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let text = error.inner().to_string();
        // serde_json appends its own position, which means nothing to who wrote YAML.
        let problem = text.split(" at line ").next().unwrap_or(&text).to_owned();
        Fault {
            object: key.clone(),
            field: if path == "." { String::new() } else { path },
            problem,
            remedy: "correct the field; the object is ignored until then".to_owned(),
        }
    })
}
