//! Pieces of configuration, written by hand.

use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{
                Cluster,
                cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig},
            },
            core::v3::{
                Address, AggregatedConfigSource, ApiVersion, ConfigSource, SocketAddress, address,
                config_source::ConfigSourceSpecifier, data_source, socket_address::PortSpecifier,
            },
            endpoint::v3::{
                ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
            },
            listener::v3::{Filter, FilterChain, Listener, filter::ConfigType},
            route::v3::{
                Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route::Action, route_action,
                route_match::PathSpecifier,
            },
        },
        extensions::{
            filters::{
                http::router::v3::Router,
                network::http_connection_manager::v3::{
                    HttpConnectionManager, HttpFilter, Rds, http_connection_manager::RouteSpecifier,
                    http_filter,
                },
            },
            transport_sockets::tls::v3::{Secret, TlsCertificate, secret},
        },
        r#type::matcher::v3::RegexMatcher,
    },
    google::protobuf::{Any, Duration},
};
use prost::{Message, Name};
use proto::{ContentHash, Delta, Kind, PrivateKeyRef, Put, ResourceKey, Revision, XdsKey, XdsKind};

/// The Gateway `default/web`.
pub(crate) fn web() -> ResourceKey {
    gateway("web")
}

pub(crate) fn gateway(name: &str) -> ResourceKey {
    ResourceKey::local(Kind::GATEWAY, "default", name)
}

/// A delta of one revision.
pub(crate) fn delta(revision: u64, puts: Vec<Put>, removes: Vec<XdsKey>) -> Delta {
    Delta { revision: Revision(revision), puts, removes, ..Delta::default() }
}

pub(crate) fn key(kind: XdsKind, name: &str) -> XdsKey {
    XdsKey::new(web(), kind, name)
}

fn put(key: XdsKey, message: &impl Message) -> Put {
    let body = message.encode_to_vec();
    Put::new(key, body)
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

fn ads() -> Option<ConfigSource> {
    let ads = ConfigSourceSpecifier::Ads(AggregatedConfigSource {});
    Some(ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ads),
        ..Default::default()
    })
}

fn address(port: u16) -> Option<Address> {
    let port = Some(PortSpecifier::PortValue(port.into()));
    let socket = SocketAddress { address: "127.0.0.1".into(), port_specifier: port, ..Default::default() };
    Some(Address { address: Some(address::Address::SocketAddress(socket)) })
}

/// An EDS cluster.
pub(crate) fn cluster(name: &str) -> Put {
    cluster_with(name, 5)
}

/// A cluster that Envoy refuses, because its connections time out before they begin.
pub(crate) fn bad_cluster(name: &str) -> Put {
    cluster_with(name, -1)
}

fn cluster_with(name: &str, connect_timeout: i64) -> Put {
    let eds = EdsClusterConfig { eds_config: ads(), ..Default::default() };
    let message = Cluster {
        name: name.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(eds),
        connect_timeout: Some(Duration { seconds: connect_timeout, nanos: 0 }),
        ..Default::default()
    };
    put(key(XdsKind::Cluster, name), &message)
}

/// Endpoints of a cluster: one port of loopback.
pub(crate) fn endpoints(name: &str, port: u16) -> Put {
    let endpoint = Endpoint { address: address(port), ..Default::default() };
    let host = Some(HostIdentifier::Endpoint(endpoint));
    let lb_endpoints = vec![LbEndpoint { host_identifier: host, ..Default::default() }];
    let endpoints = vec![LocalityLbEndpoints { lb_endpoints, ..Default::default() }];
    let message = ClusterLoadAssignment { cluster_name: name.into(), endpoints, ..Default::default() };
    put(key(XdsKind::Endpoints, name), &message)
}

/// A listener for plain HTTP, on a port, with a route table.
pub(crate) fn listener(name: &str, port: u16, table: &str) -> Put {
    let router = http_filter::ConfigType::TypedConfig(any(&Router::default()));
    let router = HttpFilter { name: "router".into(), config_type: Some(router), ..Default::default() };
    let rds = Rds { config_source: ads(), route_config_name: table.into() };
    let manager = HttpConnectionManager {
        stat_prefix: "http".into(),
        route_specifier: Some(RouteSpecifier::Rds(rds)),
        http_filters: vec![router],
        ..Default::default()
    };
    let filter = Filter { name: "http".into(), config_type: Some(ConfigType::TypedConfig(any(&manager))) };
    let filter_chains = vec![FilterChain { filters: vec![filter], ..Default::default() }];
    let message = Listener { name: name.into(), address: address(port), filter_chains, ..Default::default() };
    put(key(XdsKind::Listener, name), &message)
}

/// The header of a route table.
pub(crate) fn table(name: &str) -> Put {
    let message = RouteConfiguration { name: name.into(), ..Default::default() };
    put(key(XdsKind::RouteTable, name), &message)
}

/// A virtual host of table `t` that sends everything to a cluster.
pub(crate) fn host(domain: &str, cluster: &str) -> Put {
    virtual_host(domain, PathSpecifier::Prefix("/".into()), cluster)
}

/// A virtual host of table `t` that Envoy refuses, because its route has a broken regex.
pub(crate) fn bad_host(domain: &str, regex: &str, cluster: &str) -> Put {
    let regex = RegexMatcher { regex: regex.into(), ..Default::default() };
    virtual_host(domain, PathSpecifier::SafeRegex(regex), cluster)
}

fn virtual_host(domain: &str, path: PathSpecifier, cluster: &str) -> Put {
    let to = route_action::ClusterSpecifier::Cluster(cluster.into());
    let route = Route {
        r#match: Some(RouteMatch { path_specifier: Some(path), ..Default::default() }),
        action: Some(Action::Route(RouteAction { cluster_specifier: Some(to), ..Default::default() })),
        ..Default::default()
    };
    let message = VirtualHost {
        name: domain.into(),
        domains: vec![domain.into()],
        routes: vec![route],
        ..Default::default()
    };
    put(XdsKey::virtual_host(web(), "t", domain), &message)
}

/// A TLS certificate whose private key is not in it.
pub(crate) fn secret(name: &str, certificate: &str) -> Put {
    let chain = data_source::Specifier::InlineString(certificate.into());
    let chain =
        envoy_types::pb::envoy::config::core::v3::DataSource { specifier: Some(chain), ..Default::default() };
    let certificate_of = TlsCertificate { certificate_chain: Some(chain), ..Default::default() };
    let message = Secret { name: name.into(), r#type: Some(secret::Type::TlsCertificate(certificate_of)) };
    let private_key = PrivateKeyRef {
        secret: ResourceKey::local(Kind::SECRET, "default", name),
        certificate: ContentHash::of(certificate.as_bytes()),
    };
    Put { private_key: Some(private_key), ..put(key(XdsKind::Secret, name), &message) }
}

/// The same piece in another scope.
pub(crate) fn of(scope: &ResourceKey, mut put: Put) -> Put {
    put.key.scope = scope.clone();
    put
}
