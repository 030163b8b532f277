//! The nodes of the graph, their levels, and what objects root.

mod indexes;
mod ir;

use engine::Graph;
use proto::{ArcStr, ClusterId, Fault, Kind, Name, ResourceKey, XdsKey, XdsKind};

pub(crate) use indexes::IndexKey;
pub(crate) use ir::{
    AttachedSet, Attachment, BackendIr, ClientValidationIr, Context, ExternalAuthIr, GatewayIr, L4Backend,
    L4RouteIr, ListenerIr, Scheme, TlsIr, UpstreamProtocol, UpstreamTls, Value, Verdict, VirtualHostRole,
};

use crate::engine::{Cx, IndexEntry, Output};
use crate::env::Env;
use crate::model::{self, Decoded};
use crate::{attach, emit};

/// Translation of the Gateway API, as a graph of nodes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatewayApi;

impl Graph for GatewayApi {
    type Env = Env;
    type Object = Decoded;
    type Node = NodeKey;
    type Value = Value;
    type Index = IndexKey;

    const LEVELS: usize = 5;

    fn level(node: &NodeKey) -> usize {
        node.level()
    }

    fn stage(node: &NodeKey) -> &'static str {
        node.stage()
    }

    fn decode(key: &ResourceKey, json: &[u8]) -> Result<Decoded, Fault> {
        model::decode(key, json)
    }

    fn roots(key: &ResourceKey, decoded: &Decoded) -> (Vec<IndexEntry>, Vec<NodeKey>) {
        indexes::roots(key, decoded)
    }

    fn compute(node: &NodeKey, cx: &mut Cx<'_>) -> Output {
        compute(node, cx)
    }

    fn subject(node: &NodeKey) -> ResourceKey {
        node.subject()
    }

    fn reporter(object: &ResourceKey) -> Option<NodeKey> {
        reporter(object)
    }

    fn node_of(piece: &XdsKey) -> Option<NodeKey> {
        node_of(piece)
    }
}

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
    fn subject(&self) -> ResourceKey {
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

/// The node that has an object's status.
fn reporter(object: &ResourceKey) -> Option<NodeKey> {
    let node = match &object.kind {
        kind if *kind == Kind::GATEWAY_CLASS => NodeKey::Class,
        kind if *kind == Kind::GATEWAY => NodeKey::GatewayStatus,
        kind if *kind == Kind::LISTENER_SET => NodeKey::ListenerSetStatus,
        kind if *kind == Kind::BACKEND_TLS_POLICY => NodeKey::PolicyStatus,
        kind if *kind == Kind::HTTP_ROUTE || *kind == Kind::GRPC_ROUTE => NodeKey::Route,
        kind if attach::l4_route::takes(kind) => NodeKey::Route,
        _ => return None,
    };
    Some(node(object.clone()))
}

/// Computes a node. Pure: all it reads comes through `cx`.
fn compute(key: &NodeKey, cx: &mut Cx<'_>) -> Output {
    match key {
        NodeKey::Class(class) => attach::class::compute(class, cx),
        NodeKey::Backend(backend) => attach::backend::compute(backend, cx),
        NodeKey::Gateway(gateway) => attach::gateway::compute(gateway, cx),
        NodeKey::Route(route) if attach::l4_route::takes(&route.kind) => attach::l4_route::compute(route, cx),
        NodeKey::Route(route) => attach::route::compute(route, cx),
        NodeKey::VirtualHost(gateway, table, domain) => {
            emit::virtual_host::compute(gateway, table, domain, cx)
        }
        NodeKey::RouteTable(gateway, table) => emit::route_table::compute(gateway, table),
        NodeKey::Listener(gateway, port) => emit::listener::compute(gateway, *port, cx),
        NodeKey::Secret(gateway, secret) => emit::secret::compute(gateway, secret, cx),
        NodeKey::Cluster(gateway, cluster) => emit::cluster::compute(gateway, cluster, cx),
        NodeKey::Endpoints(gateway, cluster) => emit::endpoints::compute(gateway, cluster, cx),
        NodeKey::GatewayStatus(gateway) => attach::gateway_status::compute(gateway, cx),
        NodeKey::ListenerSetStatus(set) => attach::listener_set_status::compute(set, cx),
        NodeKey::PolicyStatus(policy) => attach::policy_status::compute(policy, cx),
    }
}

/// The node that a piece came from, where its key says so.
fn node_of(key: &XdsKey) -> Option<NodeKey> {
    let scope = key.scope.clone();
    match key.kind {
        XdsKind::Routes => Some(match emit::route::object_of(&scope, &key.route) {
            Some(object) => NodeKey::Route(object),
            None => NodeKey::VirtualHost(scope, key.name.clone(), key.domain.clone()),
        }),
        XdsKind::VirtualHost => Some(NodeKey::VirtualHost(scope, key.name.clone(), key.domain.clone())),
        XdsKind::RouteTable => Some(NodeKey::RouteTable(scope, key.name.clone())),
        XdsKind::Listener | XdsKind::ScopedListener => {
            emit::listener::port_of(&key.name).map(|port| NodeKey::Listener(scope, port))
        }
        XdsKind::Secret => {
            emit::secret::secret_of(&scope, &key.name).map(|secret| NodeKey::Secret(scope, secret))
        }
        XdsKind::Cluster => {
            attach::backend::cluster_of(&scope, &key.name).map(|cluster| NodeKey::Cluster(scope, cluster))
        }
        XdsKind::Endpoints => {
            attach::backend::cluster_of(&scope, &key.name).map(|cluster| NodeKey::Endpoints(scope, cluster))
        }
    }
}
