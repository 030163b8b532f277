//! The roof: computes nodes, and says what objects root.

mod indexes;

use engine::Graph;
use proto::{Fault, Kind, ResourceKey, XdsKey, XdsKind};

use crate::cx::{Cx, GatewayApi, IndexEntry, Output};
use crate::env::Env;
use crate::ir::{IndexKey, NodeKey, Value, names};
use crate::model::{self, Decoded};
use crate::{attach, emit, resolve};

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
        NodeKey::Backend(backend) => resolve::backend::compute(backend, cx),
        NodeKey::Gateway(gateway) => attach::gateway::compute(gateway, cx),
        NodeKey::Route(route) if attach::l4_route::takes(&route.kind) => attach::l4_route::compute(route, cx),
        NodeKey::Route(route) => emit::http_route::compute(route, cx),
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
            names::listener_port(&key.name).map(|port| NodeKey::Listener(scope, port))
        }
        XdsKind::Secret => {
            emit::secret::secret_of(&scope, &key.name).map(|secret| NodeKey::Secret(scope, secret))
        }
        XdsKind::Cluster => {
            resolve::backend::cluster_of(&scope, &key.name).map(|cluster| NodeKey::Cluster(scope, cluster))
        }
        XdsKind::Endpoints => {
            resolve::backend::cluster_of(&scope, &key.name).map(|cluster| NodeKey::Endpoints(scope, cluster))
        }
    }
}
