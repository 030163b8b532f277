//! Listeners of connections as Envoy filter chains: a TLS listener has one for each server name that a TLSRoute
//! takes, a TCP listener has one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::TransportSocket;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType as FilterConfig;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight,
};
use envoy_types::util::pack_any;
use proto::{ArcStr, ResourceKey};

use super::route::NOWHERE;
use crate::cx::Cx;
use crate::hostname;
use crate::ir::{IndexKey, L4Backend, L4RouteIr, ListenerIr, NodeKey, Value};

/// The route that takes the connections of a domain.
struct Winner {
    rank: (Reverse<u16>, ArcStr, ResourceKey),
    route: Arc<L4RouteIr>,
}

/// The chains of a listener; `socket` is what ends TLS, none if nothing does. Its own hostname has a chain
/// whatever routes there are: such connections are closed here, rather than go to a listener with a wider one.
pub(crate) fn chains(
    gateway: &ResourceKey,
    listener: &ListenerIr,
    socket: Option<&TransportSocket>,
    cx: &mut Cx<'_>,
) -> Vec<FilterChain> {
    let Some(table) = &listener.table else { return Vec::new() };
    let mut winners: BTreeMap<ArcStr, Option<Winner>> = BTreeMap::from([(listener.hostname.clone(), None)]);
    let attached = IndexKey::AttachedTo(listener.owner.clone(), listener.name.clone());
    let routes: Vec<&ResourceKey> = cx.members(attached).collect();
    for key in routes {
        let Some(Value::L4Route(route)) = cx.node(NodeKey::Route(key.clone())) else { continue };
        let here = |attachment: &&crate::ir::Attachment| {
            attachment.gateway == *gateway && attachment.table == *table
        };
        for attachment in route.attachments.iter().filter(here) {
            let rank = (Reverse(hostname::rank(&attachment.written)), route.created.clone(), key.clone());
            let best = winners.entry(attachment.domain.clone()).or_default();
            if best.as_ref().is_none_or(|best| rank < best.rank) {
                *best = Some(Winner { rank, route: Arc::clone(route) });
            }
        }
    }
    let chain = |(domain, winner): (ArcStr, Option<Winner>)| {
        let backends = winner.as_ref().map(|winner| match listener.passthrough {
            true => winner.route.passed.as_slice(),
            false => winner.route.terminated.as_slice(),
        });
        FilterChain {
            name: format!("{table}/{domain}"),
            filter_chain_match: Some(server_name(&domain)),
            filters: vec![tcp_proxy(table, backends.unwrap_or_default())],
            transport_socket: socket.cloned(),
            ..FilterChain::default()
        }
    };
    winners.into_iter().map(chain).collect()
}

/// Connections that ask for a domain, or all.
pub(crate) fn server_name(domain: &ArcStr) -> FilterChainMatch {
    let server_names = if *domain == hostname::ANY { Vec::new() } else { vec![domain.to_string()] };
    FilterChainMatch { server_names, ..FilterChainMatch::default() }
}

/// Connections to a cluster that is not there are closed.
fn tcp_proxy(table: &ArcStr, backends: &[L4Backend]) -> Filter {
    let name = |backend: &L4Backend| backend.cluster.as_deref().unwrap_or(NOWHERE).to_owned();
    let weighted = |backend: &L4Backend| ClusterWeight {
        name: name(backend),
        weight: backend.weight,
        ..ClusterWeight::default()
    };
    let clusters = match backends {
        [] => ClusterSpecifier::Cluster(NOWHERE.to_owned()),
        [only] => ClusterSpecifier::Cluster(name(only)),
        several => ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: several.iter().map(weighted).collect(),
        }),
    };
    let proxy = TcpProxy {
        stat_prefix: table.replace('/', "_"),
        cluster_specifier: Some(clusters),
        ..TcpProxy::default()
    };
    Filter {
        name: "envoy.filters.network.tcp_proxy".to_owned(),
        config_type: Some(FilterConfig::TypedConfig(pack_any(proxy))),
    }
}
