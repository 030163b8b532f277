//! Keys of nodes and of buckets.

use proto::{ArcStr, ClusterId, Kind, Name, ResourceKey};

use super::UpstreamProtocol;

/// One port of one Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BackendKey {
    pub(crate) cluster: ClusterId,
    pub(crate) namespace: Name,
    pub(crate) name: Name,
    pub(crate) port: u16,
}

impl BackendKey {
    /// The Service.
    pub(crate) fn service(&self) -> ResourceKey {
        ResourceKey {
            cluster: self.cluster.clone(),
            kind: Kind::SERVICE,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// A backend as one Envoy cluster: its Service's port, and what it is spoken to in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClusterKey {
    pub(crate) backend: BackendKey,
    pub(crate) protocol: UpstreamProtocol,
}

/// A node: what is computed, and for what. `ResourceKey`s of Gateways come first, so that all of a
/// scope's nodes of a stage sort together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum NodeKey {
    /// Is a GatewayClass ours, and its status.
    Class(ResourceKey),
    /// What a Service's port is for a proxy.
    Backend(BackendKey),
    /// A Gateway's listeners.
    Gateway(ResourceKey),
    /// A route of any kind: where it attaches, its status, its encoded routes.
    Route(ResourceKey),
    /// Gateway, route table, domain.
    VirtualHost(ResourceKey, ArcStr, ArcStr),
    /// Gateway, route table: all but its virtual hosts.
    RouteTable(ResourceKey, ArcStr),
    /// Gateway, port.
    Listener(ResourceKey, u16),
    /// Gateway, Secret.
    Secret(ResourceKey, ResourceKey),
    /// Gateway, backend.
    Cluster(ResourceKey, ClusterKey),
    /// Gateway, backend.
    Endpoints(ResourceKey, ClusterKey),
    /// A Gateway's status.
    GatewayStatus(ResourceKey),
    /// A ListenerSet's status.
    ListenerSetStatus(ResourceKey),
    /// A BackendTLSPolicy's status.
    PolicyStatus(ResourceKey),
}

impl NodeKey {
    /// Where in the order of computation the node stands.
    pub(crate) fn level(&self) -> usize {
        match self {
            NodeKey::Class(_) | NodeKey::Backend(_) => 0,
            NodeKey::Gateway(_) => 1,
            NodeKey::Route(_) => 2,
            NodeKey::VirtualHost(..)
            | NodeKey::RouteTable(..)
            | NodeKey::Listener(..)
            | NodeKey::Cluster(..)
            | NodeKey::GatewayStatus(_)
            | NodeKey::ListenerSetStatus(_)
            | NodeKey::PolicyStatus(_) => 3,
            NodeKey::Secret(..) | NodeKey::Endpoints(..) => 4,
        }
    }

    /// The object that the node is for: of what is made for a Gateway of another object, that object.
    pub(crate) fn subject(&self) -> ResourceKey {
        match self {
            NodeKey::Class(object)
            | NodeKey::Gateway(object)
            | NodeKey::Route(object)
            | NodeKey::VirtualHost(object, ..)
            | NodeKey::RouteTable(object, _)
            | NodeKey::Listener(object, _)
            | NodeKey::Secret(_, object)
            | NodeKey::GatewayStatus(object)
            | NodeKey::ListenerSetStatus(object)
            | NodeKey::PolicyStatus(object) => object.clone(),
            NodeKey::Backend(backend) => backend.service(),
            NodeKey::Cluster(_, cluster) | NodeKey::Endpoints(_, cluster) => cluster.backend.service(),
        }
    }

    /// Name of the stage, as a metric label.
    pub(crate) fn stage(&self) -> &'static str {
        match self {
            NodeKey::Class(_) => "class",
            NodeKey::Backend(_) => "backend",
            NodeKey::Gateway(_) => "gateway",
            NodeKey::Route(_) => "route",
            NodeKey::VirtualHost(..) => "virtual_host",
            NodeKey::RouteTable(..) => "route_table",
            NodeKey::Listener(..) => "listener",
            NodeKey::Secret(..) => "secret",
            NodeKey::Cluster(..) => "cluster",
            NodeKey::Endpoints(..) => "endpoints",
            NodeKey::GatewayStatus(_) => "gateway_status",
            NodeKey::ListenerSetStatus(_) => "listener_set_status",
            NodeKey::PolicyStatus(_) => "policy_status",
        }
    }
}

/// A bucket of an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum IndexKey {
    /// ReferenceGrants of a namespace.
    GrantsIn(ClusterId, Name),
    /// EndpointSlices of a Service.
    SlicesOf(ResourceKey),
    /// BackendTLSPolicies that target a Service.
    PoliciesOf(ResourceKey),
    /// ListenerSets that want to attach to a Gateway.
    ListenerSetsOf(ResourceKey),
    /// Gateway or ListenerSet, listener: routes attached, whether or not they serve.
    AttachedTo(ResourceKey, ArcStr),
    /// Gateways and ListenerSets with a listener at a port.
    BoundAt(ClusterId, u16),
    /// Gateways that send requests to a Service.
    GatewaysOf(ResourceKey),
}
