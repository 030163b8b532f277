//! Encoded messages made of encoded parts: repeated fields of protobuf concatenate.

use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, Route, RouteMatch, ScopedRouteConfiguration, VirtualHost,
    scoped_route_configuration::{Key, key::Fragment, key::fragment},
};
use envoy_types::pb::envoy::extensions::dynamic_modules::v3::DynamicModuleConfig;
use envoy_types::pb::envoy::extensions::filters::http::dynamic_modules::v3::DynamicModuleFilterPerRoute;
use envoy_types::pb::google::protobuf::{Any, StringValue};
use envoy_types::util::pack_any;
use lookup::Step;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

/// `RouteConfiguration.name`
const NAME: u32 = 1;
/// `RouteConfiguration.virtual_hosts`
pub(super) const VIRTUAL_HOSTS: u32 = 2;
/// `VirtualHost.routes`
pub(super) const ROUTES: u32 = 3;

/// Appends a field that is a message or a text.
pub(super) fn append(field: u32, part: &[u8], body: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, body);
    encode_varint(part.len() as u64, body);
    body.extend_from_slice(part);
}

/// Gives a route table another name: of a field that comes twice, the last counts.
pub(super) fn rename(name: &str, body: &mut Vec<u8>) {
    append(NAME, name.as_bytes(), body);
}

/// A route that every request matches and that has the module take a step. Its own answer is for when
/// the module does not.
pub(super) fn stub(step: &Step) -> Vec<u8> {
    let module =
        DynamicModuleConfig { name: lookup::MODULE_NAME.to_owned(), ..DynamicModuleConfig::default() };
    let text = StringValue { value: step.to_string() };
    let config = DynamicModuleFilterPerRoute {
        dynamic_module_config: Some(module),
        filter_name: lookup::FILTER_NAME.to_owned(),
        filter_config: Some(Any {
            type_url: "type.googleapis.com/google.protobuf.StringValue".to_owned(),
            value: text.encode_to_vec(),
        }),
        ..DynamicModuleFilterPerRoute::default()
    };
    let everything =
        RouteMatch { path_specifier: Some(PathSpecifier::Prefix(String::new())), ..RouteMatch::default() };
    let route = Route {
        name: "walk".to_owned(),
        r#match: Some(everything),
        action: Some(Action::DirectResponse(DirectResponseAction { status: 500, ..Default::default() })),
        typed_per_filter_config: [(lookup::FILTER_NAME.to_owned(), pack_any(config))].into(),
        ..Route::default()
    };
    route.encode_to_vec()
}

/// A virtual host for all that no other one takes, with one route.
pub(super) fn otherwise(route: &[u8]) -> Vec<u8> {
    let host =
        VirtualHost { name: "walk".to_owned(), domains: vec!["*".to_owned()], ..VirtualHost::default() };
    let mut body = host.encode_to_vec();
    append(ROUTES, route, &mut body);
    body
}

/// The scope by which a table is found: its key is the table's name.
pub(crate) fn scope(table: &str) -> Vec<u8> {
    let fragment = Fragment { r#type: Some(fragment::Type::StringKey(table.to_owned())) };
    let scope = ScopedRouteConfiguration {
        name: table.to_owned(),
        route_configuration_name: table.to_owned(),
        key: Some(Key { fragments: vec![fragment] }),
        ..ScopedRouteConfiguration::default()
    };
    scope.encode_to_vec()
}
