//! A port of a Gateway as an Envoy listener: one filter chain for HTTP, one for TCP; or, side by side, one for each
//! HTTPS listener, and for a TLS listener one for each server name.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::TransportSocket;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType as SocketConfig;
use envoy_types::pb::envoy::config::listener::v3::listener_filter::ConfigType as ListenerFilterConfig;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType as FilterConfig;
use envoy_types::pb::envoy::config::listener::v3::{
    AdditionalAddress, Filter, FilterChain, Listener, ListenerFilter,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    RouteSpecifier, ServerHeaderTransformation, UpgradeConfig,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext,
};
use envoy_types::pb::google::protobuf::{BoolValue, UInt32Value};
use envoy_types::util::pack_any;
use proto::{ArcStr, ResourceKey, XdsKey, XdsKind};

use super::client_validation::{Validation, validation};
use super::{ads, clients, duration, l4, listener_filters, put, scopes, secret, socket_address};
use crate::cx::{Cx, Output};
use crate::features;
use crate::ir::{ListenerIr, NodeKey, Scheme, Value, names};

/// Bytes that Envoy buffers of one connection before it pushes back.
const BUFFER_LIMIT: u32 = 32 * 1024;
/// A request, stream or upgraded connection on which nothing moves for so long is ended, unless its rule has timeouts.
const SILENCE: Duration = Duration::from_secs(3600);

pub(crate) fn compute(gateway: &ResourceKey, port: u16, cx: &mut Cx<'_>) -> Output {
    let mut output = Output::of(Value::Absent);
    let Some(Value::Gateway(ir)) = cx.node(NodeKey::Gateway(gateway.clone())) else { return output };
    let serving: Vec<&ListenerIr> =
        ir.listeners.iter().filter(|l| l.port == port && l.table.is_some()).collect();
    if serving.first().is_none_or(|listener| listener.scheme.is_none()) {
        return output;
    }
    let is_tls = serving.iter().any(|listener| listener.scheme.is_some_and(Scheme::is_tls));
    let (mut addresses, bound) = (ir.bound.iter(), ir.bound_port(port));
    let Some(address) = addresses.next() else { return output };
    let additional = |address: &ArcStr| AdditionalAddress {
        address: Some(socket_address(address, bound)),
        ..AdditionalAddress::default()
    };
    let message = Listener {
        name: names::listener(port),
        address: Some(socket_address(address, bound)),
        additional_addresses: addresses.map(additional).collect(),
        listener_filters: if is_tls { vec![tls_inspector()] } else { Vec::new() },
        // With it, two Gateways on one port would silently share connections; without, the second is told.
        enable_reuse_port: Some(BoolValue { value: false }),
        per_connection_buffer_limit_bytes: Some(UInt32Value { value: BUFFER_LIMIT }),
        ..Listener::default()
    };
    let opaque: Vec<FilterChain> = serving
        .iter()
        .filter(|listener| !listener.scheme.is_some_and(Scheme::is_http))
        .flat_map(|listener| l4_chains(gateway, listener, cx))
        .collect();
    let validations: Vec<Option<Validation>> = serving
        .iter()
        .map(|listener| listener.client_validation.as_ref().map(|ir| validation(ir, cx)))
        .collect();
    for tables in [Tables::Whole, Tables::Walked] {
        let mut filter_chains: Vec<FilterChain> = match is_tls {
            false => http_chain(&serving, tables).into_iter().collect(),
            true => serving
                .iter()
                .zip(&validations)
                .filter_map(|(listener, validation)| https_chain(listener, validation.as_ref(), tables))
                .collect(),
        };
        filter_chains.extend(opaque.iter().cloned());
        let message = Listener { filter_chains, ..message.clone() };
        output
            .puts
            .push(put(XdsKey::new(gateway.clone(), tables.listener(), names::listener(port)), &message));
    }
    output
}

/// How a proxy is given its routes.
#[derive(Clone, Copy, Debug)]
enum Tables {
    /// One table a listener.
    Whole,
    /// Small tables, from one to the next of which the proxy's module walks.
    Walked,
}

impl Tables {
    fn listener(self) -> XdsKind {
        match self {
            Tables::Whole => XdsKind::Listener,
            Tables::Walked => XdsKind::ScopedListener,
        }
    }
}

fn http_chain(serving: &[&ListenerIr], tables: Tables) -> Option<FilterChain> {
    let table = serving.first().filter(|first| first.scheme == Some(Scheme::Http))?.table.as_ref()?;
    Some(FilterChain {
        name: table.to_string(),
        filters: vec![connection_manager(table, tables, listener_filters::of_shared(serving))],
        ..FilterChain::default()
    })
}

fn https_chain(
    listener: &ListenerIr,
    validation: Option<&Validation>,
    tables: Tables,
) -> Option<FilterChain> {
    let table = listener.table.as_ref().filter(|_| listener.scheme == Some(Scheme::Https))?;
    // For all requests of the chain: their SNI has chosen the listener.
    let own_filters = listener_filters::of_own(listener);
    Some(FilterChain {
        name: table.to_string(),
        filter_chain_match: Some(l4::server_name(&listener.hostname)),
        filters: vec![connection_manager(table, tables, own_filters)],
        transport_socket: Some(downstream_tls(listener, validation, &["h2", "http/1.1"])),
        ..FilterChain::default()
    })
}

fn l4_chains(gateway: &ResourceKey, listener: &ListenerIr, cx: &mut Cx<'_>) -> Vec<FilterChain> {
    let ends_tls = listener.scheme == Some(Scheme::Tls) && !listener.passthrough;
    let socket = ends_tls.then(|| downstream_tls(listener, None, &[]));
    l4::chains(gateway, listener, socket.as_ref(), cx)
}

/// What ends the TLS of clients.
fn downstream_tls(listener: &ListenerIr, validation: Option<&Validation>, alpn: &[&str]) -> TransportSocket {
    let context = DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            alpn_protocols: alpn.iter().map(|protocol| (*protocol).to_owned()).collect(),
            tls_certificate_sds_secret_configs: listener.certificates.iter().map(secret::by_name).collect(),
            validation_context_type: validation.map(|validation| validation.context.clone()),
            ..CommonTlsContext::default()
        }),
        require_client_certificate: validation.map(|validation| validation.required),
        ..DownstreamTlsContext::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(SocketConfig::TypedConfig(pack_any(context))),
    }
}

fn whole_table(table: &ArcStr) -> RouteSpecifier {
    RouteSpecifier::Rds(Rds { config_source: Some(ads()), route_config_name: table.to_string() })
}

fn tls_inspector() -> ListenerFilter {
    ListenerFilter {
        name: "envoy.filters.listener.tls_inspector".to_owned(),
        config_type: Some(ListenerFilterConfig::TypedConfig(pack_any(TlsInspector::default()))),
        ..ListenerFilter::default()
    }
}

/// `before` are filters that run before a route is chosen.
fn connection_manager(table: &ArcStr, tables: Tables, before: Vec<HttpFilter>) -> Filter {
    let router = HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(ConfigType::TypedConfig(pack_any(Router::default()))),
        ..HttpFilter::default()
    };
    let mut http_filters = before;
    let chosen = http_filters.len();
    http_filters.extend(features::http_filters());
    http_filters.push(router);
    let (route_specifier, early_header_mutation_extensions) = match tables {
        Tables::Whole => (whole_table(table), Vec::new()),
        Tables::Walked => {
            // Before all that look at the route: they must see the one where the walk ends.
            http_filters.insert(chosen, scopes::walk_filter());
            (scopes::route_specifier(), vec![scopes::root_header(table)])
        }
    };
    let manager = HttpConnectionManager {
        stat_prefix: table.replace('/', "_"),
        route_specifier: Some(route_specifier),
        early_header_mutation_extensions,
        http_filters,
        use_remote_address: Some(BoolValue { value: true }),
        normalize_path: Some(BoolValue { value: true }),
        // `a.example.com.` is `a.example.com`, with its last dot.
        strip_trailing_host_dot: true,
        http_protocol_options: Some(clients::http1()),
        stream_idle_timeout: Some(duration(SILENCE)),
        // Otherwise Envoy writes its own name over what backends and filters have set.
        server_header_transformation: ServerHeaderTransformation::PassThrough.into(),
        upgrade_configs: vec![UpgradeConfig {
            upgrade_type: clients::UPGRADE.to_owned(),
            ..UpgradeConfig::default()
        }],
        ..HttpConnectionManager::default()
    };
    Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(FilterConfig::TypedConfig(pack_any(manager))),
    }
}
