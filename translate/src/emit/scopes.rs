//! What a listener needs for walking route tables: a scope for each table, found by a header that names the
//! first one and that the module's filter changes. The tables themselves are made by whoever serves them.

use envoy_types::pb::envoy::config::common::mutation_rules::v3::HeaderMutation as Mutation;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::Action;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption, TypedExtensionConfig};
use envoy_types::pb::envoy::extensions::dynamic_modules::v3::DynamicModuleConfig;
use envoy_types::pb::envoy::extensions::filters::http::dynamic_modules::v3::DynamicModuleFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::scope_key_builder::fragment_builder::header_value_extractor::ExtractType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::scope_key_builder::fragment_builder::{
    HeaderValueExtractor, Type,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::scope_key_builder::FragmentBuilder;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::{
    ConfigSpecifier, ScopeKeyBuilder,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpFilter, ScopedRds, ScopedRoutes,
};
use envoy_types::pb::envoy::extensions::http::early_header_mutation::header_mutation::v3::HeaderMutation;
use envoy_types::util::pack_any;
use proto::ArcStr;

use super::ads;

/// Scopes found by the table's name in the header. All listeners of a proxy share them: Envoy keeps one
/// subscription for equal configurations.
pub(crate) fn route_specifier() -> RouteSpecifier {
    let extractor = HeaderValueExtractor {
        name: lookup::TABLE_HEADER.to_owned(),
        extract_type: Some(ExtractType::Index(0)),
        ..HeaderValueExtractor::default()
    };
    let fragment = FragmentBuilder { r#type: Some(Type::HeaderValueExtractor(extractor)) };
    let scopes = ScopedRds { scoped_rds_config_source: Some(ads()), ..ScopedRds::default() };
    RouteSpecifier::ScopedRoutes(ScopedRoutes {
        name: "tables".to_owned(),
        scope_key_builder: Some(ScopeKeyBuilder { fragments: vec![fragment] }),
        rds_config_source: Some(ads()),
        config_specifier: Some(ConfigSpecifier::ScopedRds(scopes)),
    })
}

/// Names the first table to look into, whatever the client says.
pub(crate) fn root_header(table: &ArcStr) -> TypedExtensionConfig {
    let header = HeaderValueOption {
        header: Some(HeaderValue {
            key: lookup::TABLE_HEADER.to_owned(),
            value: lookup::root(table),
            ..HeaderValue::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    };
    let mutations = vec![Mutation { action: Some(Action::Append(header)) }];
    TypedExtensionConfig {
        name: "envoy.http.early_header_mutation.header_mutation".to_owned(),
        typed_config: Some(pack_any(HeaderMutation { mutations })),
    }
}

/// The module's filter. Only tables that lead to others turn it on, so it costs nothing elsewhere.
pub(crate) fn walk_filter() -> HttpFilter {
    let filter = DynamicModuleFilter {
        dynamic_module_config: Some(DynamicModuleConfig {
            name: lookup::MODULE_NAME.to_owned(),
            ..DynamicModuleConfig::default()
        }),
        filter_name: lookup::FILTER_NAME.to_owned(),
        ..DynamicModuleFilter::default()
    };
    HttpFilter {
        name: lookup::FILTER_NAME.to_owned(),
        disabled: true,
        config_type: Some(ConfigType::TypedConfig(pack_any(filter))),
        ..HttpFilter::default()
    }
}
