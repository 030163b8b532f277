//! xDS resource types and names.

use proto::{ArcStr, XdsKind};

/// A type that delta ADS serves. `Ord` is the order in which changes go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceType {
    /// CDS
    Cluster,
    /// EDS
    Endpoints,
    /// SDS
    Secret,
    /// LDS, for proxies that are given whole route tables.
    Listener,
    /// LDS, for proxies that walk from one route table to another.
    ScopedListener,
    /// SRDS: the scope of each table to walk.
    Scope,
    /// RDS
    Route,
}

impl ResourceType {
    /// Every type, in push order.
    pub const ALL: [ResourceType; 7] = [
        ResourceType::Cluster,
        ResourceType::Endpoints,
        ResourceType::Secret,
        ResourceType::Listener,
        ResourceType::ScopedListener,
        ResourceType::Scope,
        ResourceType::Route,
    ];

    /// The type that a piece travels in.
    pub fn of(kind: XdsKind) -> Self {
        match kind {
            XdsKind::Cluster => ResourceType::Cluster,
            XdsKind::Endpoints => ResourceType::Endpoints,
            XdsKind::Secret => ResourceType::Secret,
            XdsKind::Listener => ResourceType::Listener,
            XdsKind::ScopedListener => ResourceType::ScopedListener,
            XdsKind::RouteTable | XdsKind::VirtualHost | XdsKind::Routes => ResourceType::Route,
        }
    }

    /// The kind of the piece that carries the resource's name.
    pub fn kind(self) -> XdsKind {
        match self {
            ResourceType::Cluster => XdsKind::Cluster,
            ResourceType::Endpoints => XdsKind::Endpoints,
            ResourceType::Secret => XdsKind::Secret,
            ResourceType::Listener => XdsKind::Listener,
            ResourceType::ScopedListener => XdsKind::ScopedListener,
            ResourceType::Scope | ResourceType::Route => XdsKind::RouteTable,
        }
    }

    /// `type.googleapis.com/…`
    pub fn url(self) -> &'static str {
        match self {
            ResourceType::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            ResourceType::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            ResourceType::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            ResourceType::Listener | ResourceType::ScopedListener => {
                "type.googleapis.com/envoy.config.listener.v3.Listener"
            }
            ResourceType::Scope => "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration",
            ResourceType::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// The type of a URL, for a proxy that does not walk; none if this server does not serve it.
    pub fn from_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.url() == url)
    }

    /// Short name for metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            ResourceType::Cluster => "cds",
            ResourceType::Endpoints => "eds",
            ResourceType::Secret => "sds",
            ResourceType::Listener | ResourceType::ScopedListener => "lds",
            ResourceType::Scope => "srds",
            ResourceType::Route => "rds",
        }
    }

    /// Types where an empty first request asks for everything.
    pub(crate) fn is_wildcard(self) -> bool {
        matches!(
            self,
            ResourceType::Cluster
                | ResourceType::Listener
                | ResourceType::ScopedListener
                | ResourceType::Scope
        )
    }
}

/// A resource of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ResourceId {
    pub(crate) kind: ResourceType,
    pub(crate) name: ArcStr,
}
