use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource};
use envoy_types::pb::google::protobuf::Any;
use prost::Message;

use super::{Floor, LISTENER, move_listeners};
use crate::envoy;
use crate::objects::Target;
use crate::probe::{Answer, Client};

const TABLE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

fn response(type_url: &str, name: &str, message: &impl Message) -> DeltaDiscoveryResponse {
    let body = Any { type_url: type_url.into(), value: message.encode_to_vec() };
    let resource =
        Resource { name: name.into(), version: "1".into(), resource: Some(body), ..Resource::default() };
    DeltaDiscoveryResponse { type_url: type_url.into(), resources: vec![resource], ..Default::default() }
}

fn table(hosts: &[&str]) -> DeltaDiscoveryResponse {
    let virtual_hosts = hosts.iter().map(|host| route::VirtualHost {
        name: (*host).into(),
        domains: vec![(*host).into()],
        routes: vec![route::Route {
            r#match: Some(route::RouteMatch {
                path_specifier: Some(route::route_match::PathSpecifier::Prefix("/".into())),
                ..Default::default()
            }),
            action: Some(route::route::Action::DirectResponse(route::DirectResponseAction {
                status: 200,
                ..Default::default()
            })),
            ..Default::default()
        }],
        ..Default::default()
    });
    let table = route::RouteConfiguration {
        name: "t".into(),
        virtual_hosts: virtual_hosts.collect(),
        ..Default::default()
    };
    response(TABLE, "t", &table)
}

fn listener_on(port: u16) -> DeltaDiscoveryResponse {
    let ads = core::ConfigSource {
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(Default::default())),
        ..Default::default()
    };
    let router = any("envoy.extensions.filters.http.router.v3.Router", &Router::default());
    let manager = hcm::HttpConnectionManager {
        stat_prefix: "t".into(),
        http_filters: vec![hcm::HttpFilter {
            name: "router".into(),
            config_type: Some(hcm::http_filter::ConfigType::TypedConfig(router)),
            ..Default::default()
        }],
        route_specifier: Some(hcm::http_connection_manager::RouteSpecifier::Rds(hcm::Rds {
            config_source: Some(ads),
            route_config_name: "t".into(),
        })),
        ..Default::default()
    };
    let name = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let filter = listener::Filter {
        name: "hcm".into(),
        config_type: Some(listener::filter::ConfigType::TypedConfig(any(name, &manager))),
    };
    let address = core::SocketAddress {
        address: "127.0.0.1".into(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
        ..Default::default()
    };
    let listener = listener::Listener {
        name: "l".into(),
        address: Some(core::Address { address: Some(core::address::Address::SocketAddress(address)) }),
        filter_chains: vec![listener::FilterChain { filters: vec![filter], ..Default::default() }],
        ..Default::default()
    };
    response(LISTENER, "l", &listener)
}

fn bootstrap() -> serde_json::Value {
    let ads = serde_json::json!({"ads": {}, "resource_api_version": "V3"});
    serde_json::json!({
        "node": {"id": "t", "cluster": "t"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {"clusters": [{
            "name": "xds",
            "type": "STATIC",
            "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [{"endpoint": {
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
            }}]}]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
        }]},
    })
}

#[test]
fn only_listeners_are_moved() {
    let mut moved = listener_on(80);
    move_listeners(&mut moved, 8080).unwrap();
    assert_eq!(moved, listener_on(8080));
    let mut same = table(&["a"]);
    move_listeners(&mut same, 8080).unwrap();
    assert_eq!(same, table(&["a"]));
    moved.resources[0].resource.as_mut().unwrap().value = vec![0xff];
    assert!(move_listeners(&mut moved, 1).is_err());
}

#[test]
fn a_real_envoy_takes_the_base_and_each_push() {
    if needs::envoy().is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let [port] = envoy::free_ports().unwrap();
    let floor = runtime.block_on(Floor::start(1, port)).unwrap();
    let clusters = DeltaDiscoveryResponse {
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".into(),
        ..Default::default()
    };
    floor.detach(vec![clusters, listener_on(port), table(&["a"])]);
    let mut envoy =
        envoy::start("envoy", &envoy::find().unwrap(), &bootstrap(), None, floor.port, dir.path()).unwrap();
    let mut client = Client::new(port);
    let mut until = |host: &str, status: u16| {
        let target = Target { host: host.into(), path: "/".into() };
        let wanted = Answer { status, pod: None, edit: None };
        envoy.wait_for("answer", Duration::from_secs(60), || {
            client.ask(&target).ok().filter(|answer| *answer == wanted)
        })
    };
    until("a", 200).unwrap();
    until("b", 404).unwrap();
    let start = Instant::now();
    floor.push(vec![table(&["a", "b"])]).unwrap();
    until("b", 200).unwrap();
    eprintln!("floor with one route more: {:?}", start.elapsed());
    floor.push(vec![table(&["b"])]).unwrap();
    until("a", 404).unwrap();
}
