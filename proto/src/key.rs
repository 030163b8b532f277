//! Names of Kubernetes objects across clusters.

use std::fmt;

use arcstr::{ArcStr, literal};
use serde::{Deserialize, Serialize};

/// A name or namespace of a Kubernetes object.
pub type Name = ArcStr;

/// Name of a cluster in the fleet; `local` where there is only one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClusterId(pub ArcStr);

impl ClusterId {
    /// The only cluster of a standalone process.
    pub const LOCAL: ClusterId = ClusterId(literal!("local"));
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Group and kind of an object as one string: `HTTPRoute.gateway.networking.k8s.io`,
/// or just `Service` for the core group. Open on purpose: a new kind needs no change here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Kind(pub ArcStr);

macro_rules! known_kinds {
    ($($name:ident = $text:literal),* $(,)?) => {
        impl Kind {
            $(#[doc = concat!("`", $text, "`")]
            pub const $name: Kind = Kind(literal!($text));)*
        }
    };
}

known_kinds! {
    GATEWAY_CLASS = "GatewayClass.gateway.networking.k8s.io",
    GATEWAY = "Gateway.gateway.networking.k8s.io",
    LISTENER_SET = "ListenerSet.gateway.networking.k8s.io",
    HTTP_ROUTE = "HTTPRoute.gateway.networking.k8s.io",
    TCP_ROUTE = "TCPRoute.gateway.networking.k8s.io",
    TLS_ROUTE = "TLSRoute.gateway.networking.k8s.io",
    GRPC_ROUTE = "GRPCRoute.gateway.networking.k8s.io",
    REFERENCE_GRANT = "ReferenceGrant.gateway.networking.k8s.io",
    BACKEND_TLS_POLICY = "BackendTLSPolicy.gateway.networking.k8s.io",
    GATEWAY_PARAMETERS = "GatewayParameters.gateway.gloo.solo.io",
    NAMESPACE = "Namespace",
    SERVICE = "Service",
    SECRET = "Secret",
    CONFIG_MAP = "ConfigMap",
    CLUSTER_TRUST_BUNDLE = "ClusterTrustBundle.certificates.k8s.io",
    CUSTOM_RESOURCE_DEFINITION = "CustomResourceDefinition.apiextensions.k8s.io",
    API_RESOURCE = "APIResource.meta.k8s.io",
    ENDPOINT_SLICE = "EndpointSlice.discovery.k8s.io",
}

impl Kind {
    /// Builds a kind from its group (empty for the core group) and its name.
    pub fn new(group: &str, kind: &str) -> Kind {
        if group.is_empty() { Kind(ArcStr::from(kind)) } else { Kind(arcstr::format!("{kind}.{group}")) }
    }

    /// The kind without its group, e.g. `HTTPRoute`.
    pub fn kind(&self) -> &str {
        self.0.split_once('.').map_or(self.0.as_str(), |(kind, _)| kind)
    }

    /// The group, empty for the core group.
    pub fn group(&self) -> &str {
        self.0.split_once('.').map_or("", |(_, group)| group)
    }

    /// True for kinds without a namespace.
    pub fn is_cluster_scoped(&self) -> bool {
        [
            Kind::GATEWAY_CLASS,
            Kind::NAMESPACE,
            Kind::CLUSTER_TRUST_BUNDLE,
            Kind::CUSTOM_RESOURCE_DEFINITION,
            Kind::API_RESOURCE,
        ]
        .contains(self)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One object in one cluster. `Ord` is the canonical order everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceKey {
    /// The cluster the object lives in.
    pub cluster: ClusterId,
    /// Its group and kind.
    pub kind: Kind,
    /// Its namespace; empty for objects of cluster scope.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
}

impl ResourceKey {
    /// A key in the cluster of a standalone process.
    pub fn local(kind: Kind, namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        ResourceKey { cluster: ClusterId::LOCAL, kind, namespace: namespace.into(), name: name.into() }
    }

    /// A key in the same cluster as this one.
    pub fn sibling(&self, kind: Kind, namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        ResourceKey { cluster: self.cluster.clone(), kind, namespace: namespace.into(), name: name.into() }
    }

    /// `namespace/name`, or `name` for objects of cluster scope.
    pub fn namespaced_name(&self) -> String {
        if self.namespace.is_empty() {
            self.name.to_string()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

/// `HTTPRoute default/web`, with the cluster in front when there are several.
impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cluster != ClusterId::LOCAL {
            write!(f, "{}:", self.cluster)?;
        }
        write!(f, "{} {}", self.kind.kind(), self.namespaced_name())
    }
}
