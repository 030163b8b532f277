//! HTTP filters of listeners: what runs before a route is chosen.
//!
//! HTTP listeners of a port share a chain, so a filter is passed over for requests to another listener. Hosts that are
//! written so oddly that it is not certain whose they are pass through the filters of all.

use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::extensions::common::matching::v3::ExtensionWithMatcher;
use envoy_types::pb::envoy::extensions::filters::common::matcher::action::v3::SkipFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::r#type::matcher::v3::HttpRequestHeaderMatchInput;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::xds::core::v3::TypedExtensionConfig as XdsExtension;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::predicate::single_predicate::Matcher as ValueMatcher;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::predicate::{
    MatchType, PredicateList, SinglePredicate,
};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::{FieldMatcher, Predicate};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::on_match::OnMatch as Outcome;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::{MatcherList, MatcherType, OnMatch};
use envoy_types::pb::xds::r#type::matcher::v3::regex_matcher::{EngineType, GoogleRe2};
use envoy_types::pb::xds::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::xds::r#type::matcher::v3::{Matcher, RegexMatcher, StringMatcher};
use envoy_types::util::pack_any;

use super::external_auth;
use crate::hostname::{ANY, covers};
use crate::ir::ListenerIr;

/// A host of the usual form, with or without a port.
const USUAL: &str = r"[^:.\[\]][^:\[\]]*(:[0-9]*)?";

/// The filters of the listeners that share a chain, each in its order.
pub(crate) fn of_shared(serving: &[&ListenerIr]) -> Vec<HttpFilter> {
    serving.iter().flat_map(|listener| of(listener, condition(listener, serving).as_ref())).collect()
}

/// The filters of a listener that has a chain of its own.
pub(crate) fn of_own(listener: &ListenerIr) -> Vec<HttpFilter> {
    of(listener, None)
}

fn of(listener: &ListenerIr, others: Option<&Predicate>) -> Vec<HttpFilter> {
    let filter = |(index, ir)| {
        let name = format!("requests/{}/{}/{index}", listener.owner.namespaced_name(), listener.name);
        let config = pack_any(external_auth::filter(ir));
        let config = match others {
            None => config,
            Some(others) => unless(others.clone(), &name, config),
        };
        HttpFilter { name, config_type: Some(ConfigType::TypedConfig(config)), ..HttpFilter::default() }
    };
    listener.filters.iter().enumerate().map(filter).collect()
}

/// Holds for requests that are another listener's; none if all are this one's.
fn condition(listener: &ListenerIr, serving: &[&ListenerIr]) -> Option<Predicate> {
    let narrower = serving
        .iter()
        .filter(|other| other.hostname != listener.hostname && covers(&listener.hostname, &other.hostname));
    let mut not_ours: Vec<Predicate> = narrower.map(|other| host_of(&other.hostname)).collect();
    if listener.hostname != ANY {
        let ours = Box::new(host_of(&listener.hostname));
        not_ours.push(Predicate { match_type: Some(MatchType::NotMatcher(ours)) });
    }
    let not_ours = match not_ours.len() {
        0 | 1 => not_ours.pop()?,
        _ => list(MatchType::OrMatcher, not_ours),
    };
    let regex =
        RegexMatcher { regex: USUAL.to_owned(), engine_type: Some(EngineType::GoogleRe2(GoogleRe2 {})) };
    Some(list(MatchType::AndMatcher, vec![host(MatchPattern::SafeRegex(regex)), not_ours]))
}

/// Of hosts of the usual form, those of a hostname. Envoy takes no regular expression as long as a hostname.
fn host_of(hostname: &str) -> Predicate {
    let (alone, with_port) = match hostname.strip_prefix('*') {
        Some(suffix) => {
            (MatchPattern::Suffix(suffix.to_owned()), MatchPattern::Contains(format!("{suffix}:")))
        }
        None => (MatchPattern::Exact(hostname.to_owned()), MatchPattern::Prefix(format!("{hostname}:"))),
    };
    list(MatchType::OrMatcher, vec![host(alone), host(with_port)])
}

fn list(kind: fn(PredicateList) -> MatchType, predicate: Vec<Predicate>) -> Predicate {
    Predicate { match_type: Some(kind(PredicateList { predicate })) }
}

fn host(pattern: MatchPattern) -> Predicate {
    let input = HttpRequestHeaderMatchInput { header_name: ":authority".to_owned() };
    let value = StringMatcher {
        ignore_case: !matches!(pattern, MatchPattern::SafeRegex(_)),
        match_pattern: Some(pattern),
    };
    Predicate {
        match_type: Some(MatchType::SinglePredicate(SinglePredicate {
            input: Some(extension("authority", pack_any(input))),
            matcher: Some(ValueMatcher::ValueMatch(value)),
        })),
    }
}

/// A filter that is passed over where a condition holds.
fn unless(condition: Predicate, name: &str, filter: Any) -> Any {
    let skip = OnMatch {
        on_match: Some(Outcome::Action(extension("skip", pack_any(SkipFilter {})))),
        ..OnMatch::default()
    };
    let matcher = FieldMatcher { predicate: Some(condition), on_match: Some(skip) };
    let matchers = MatcherList { matchers: vec![matcher] };
    pack_any(ExtensionWithMatcher {
        xds_matcher: Some(Matcher {
            matcher_type: Some(MatcherType::MatcherList(matchers)),
            ..Matcher::default()
        }),
        extension_config: Some(TypedExtensionConfig { name: name.to_owned(), typed_config: Some(filter) }),
        ..ExtensionWithMatcher::default()
    })
}

fn extension(name: &str, config: Any) -> XdsExtension {
    XdsExtension { name: name.to_owned(), typed_config: Some(config) }
}
