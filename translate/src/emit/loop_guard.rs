//! Requests that come back: a route that leads to a Gateway counts how often a request has been sent on by such
//! routes, in a header that proxies have for it (RFC 8586), and ends the request where that is too often.

use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{DataSource, HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::{DirectResponseAction, HeaderMatcher, Route, RouteMatch};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};

const HEADER: &str = "cdn-loop";
/// What each pass adds.
const ID: &str = "fleetgate";
/// Passes that are let through: more than Gateways stand behind each other, few enough for a mirror of each.
const MOST: usize = 4;
/// Loop Detected (RFC 5842).
const STATUS: u32 = 508;
const ANSWER: &str =
    "This request has come back to a Gateway too often: a route leads to where it comes from.\n";

/// Makes a route count, and puts one before it that ends what has come too often.
pub(crate) fn guarded(mut route: Route) -> [Route; 2] {
    let end = end(route.r#match.clone().unwrap_or_default());
    // Users cannot write this header: see `features/header_names.rs`.
    route.request_headers_to_add.push(HeaderValueOption {
        header: Some(HeaderValue { key: HEADER.to_owned(), value: ID.to_owned(), ..HeaderValue::default() }),
        append_action: HeaderAppendAction::AppendIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    });
    [end, route]
}

fn end(mut matched: RouteMatch) -> Route {
    let regex = RegexMatcher { regex: format!(".*({ID}.*){{{MOST}}}"), ..RegexMatcher::default() };
    let often =
        StringMatcher { match_pattern: Some(MatchPattern::SafeRegex(regex)), ..StringMatcher::default() };
    matched.headers.push(HeaderMatcher {
        name: HEADER.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(often)),
        ..HeaderMatcher::default()
    });
    let body =
        DataSource { specifier: Some(Specifier::InlineString(ANSWER.to_owned())), ..DataSource::default() };
    let answer = DirectResponseAction { status: STATUS, body: Some(body), ..DirectResponseAction::default() };
    Route { r#match: Some(matched), action: Some(Action::DirectResponse(answer)), ..Route::default() }
}
