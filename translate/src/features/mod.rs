//! Filters and other things that a rule can do, one file each.
//!
//! A feature reads its part of the API in `resolve` (tracked reads, faults) and writes Envoy's in the
//! pure `on_*` hooks. To add one: write its file, declare it here, put it into the `features!` list, add
//! golden cases. One that writes headers asks `header_names` whether it may.

mod cors;
pub(crate) mod header_names;
mod headers;
mod mirror;
mod redirect;
mod request_headers;
mod response_headers;
pub(crate) mod retry;
mod session_persistence;
mod timeouts;
mod url_rewrite;

use envoy_types::pb::envoy::config::route::v3::Route;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;

pub(crate) use header_names::is_token;

use crate::ir::Context;
use crate::model::{Filter, Match, Rule};
use crate::resolve::RuleCx;

/// Where a feature stands: a rule, or one of its backends.
pub(crate) struct At<'a> {
    /// Path of the object that has the `filters`, e.g. `spec.rules[0]`.
    pub(crate) field: String,
    pub(crate) filters: &'a [Filter],
    /// The rule; its own fields (timeouts, retry) count only if `backend` is false.
    pub(crate) rule: &'a Rule,
    pub(crate) backend: bool,
}

impl At<'_> {
    /// The filters of a type, each with its part and the path of that part.
    pub(crate) fn all<'s, T: 's>(
        &'s self,
        kind: &'static str,
        part: &'static str,
        get: impl Fn(&'s Filter) -> Option<&'s T> + 's,
    ) -> impl Iterator<Item = (String, &'s T)> + 's {
        self.filters.iter().enumerate().filter(move |(_, filter)| filter.kind == kind).filter_map(
            move |(index, filter)| {
                get(filter).map(|t| (format!("{}.filters[{index}].{part}", self.field), t))
            },
        )
    }
}

/// What an encoded route depends on besides its rule.
pub(crate) struct EmitAt<'a> {
    pub(crate) matched: &'a Match,
    pub(crate) context: Context,
}

/// Place of an HTTP filter in the chain; within a stage, filters sort by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Answers preflights before anything else may refuse them.
    Cors,
    /// Makes a request ready to be answered with a redirect.
    Redirect,
    /// Says to which endpoint a request goes.
    Session,
}

/// One thing that a rule or a backend of it can do.
pub(crate) trait Feature {
    /// What `resolve` found, ready to be written.
    type Ir: Clone + std::fmt::Debug + PartialEq;

    /// Reads the API. Faults go to `cx`; a feature with faults is not applied.
    fn resolve(cx: &mut RuleCx<'_, '_>, at: &At<'_>) -> Option<Self::Ir>;

    /// A filter that every listener's chain has, off until a route turns it on: so using a feature never
    /// changes a listener.
    fn http_filter() -> Option<(Stage, HttpFilter)> {
        None
    }

    /// What else must lead to a rule so that its requests can be made, tried before the match itself.
    fn also_matched(_ir: &Self::Ir, _matched: &Match) -> Vec<Match> {
        Vec::new()
    }

    /// Writes a route.
    fn on_route(ir: &Self::Ir, route: &mut Route, at: &EmitAt<'_>);

    /// Writes one backend of several. False if Envoy can do that only on a route: the backend then gets a
    /// route of its own.
    fn on_backend(_ir: &Self::Ir, _backend: &mut ClusterWeight) -> bool {
        false
    }
}

macro_rules! features {
    ($($module:ident :: $feature:ident),* $(,)?) => {
        /// A resolved feature.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum FeatureIr {
            $($feature(<$module::$feature as Feature>::Ir),)*
        }

        impl FeatureIr {
            /// Matches to be tried before the one given; see [`Feature::also_matched`].
            pub(crate) fn also_matched(&self, matched: &Match) -> Vec<Match> {
                match self {
                    $(FeatureIr::$feature(ir) => <$module::$feature as Feature>::also_matched(ir, matched),)*
                }
            }

            /// Writes a route.
            pub(crate) fn on_route(&self, route: &mut Route, at: &EmitAt<'_>) {
                match self {
                    $(FeatureIr::$feature(ir) => <$module::$feature as Feature>::on_route(ir, route, at),)*
                }
            }

            /// Writes one backend of several; see [`Feature::on_backend`].
            pub(crate) fn on_backend(&self, backend: &mut ClusterWeight) -> bool {
                match self {
                    $(FeatureIr::$feature(ir) => <$module::$feature as Feature>::on_backend(ir, backend),)*
                }
            }
        }

        /// Resolves all features of a rule or backend, in the order of the list.
        pub(crate) fn resolve(cx: &mut RuleCx<'_, '_>, at: &At<'_>) -> Vec<FeatureIr> {
            let mut features = Vec::new();
            $(if let Some(ir) = <$module::$feature as Feature>::resolve(cx, at) {
                features.push(FeatureIr::$feature(ir));
            })*
            features
        }

        /// The filters that every chain has, in order, without the router.
        pub(crate) fn http_filters() -> Vec<HttpFilter> {
            let mut filters: Vec<(Stage, HttpFilter)> = Vec::new();
            $(filters.extend(<$module::$feature as Feature>::http_filter());)*
            filters.sort_by(|(a, x), (b, y)| (a, &x.name).cmp(&(b, &y.name)));
            filters.into_iter().map(|(_, filter)| filter).collect()
        }
    };
}

// A redirect replaces the route's action, so it comes first; the others write what it left.
features! {
    redirect::RequestRedirect,
    cors::CorsPolicy,
    request_headers::RequestHeaders,
    response_headers::ResponseHeaders,
    mirror::RequestMirror,
    retry::RetryPolicy,
    session_persistence::SessionPersistence,
    timeouts::RouteTimeouts,
    url_rewrite::UrlRewriting,
}

impl FeatureIr {
    /// True if it changes headers of requests or responses, the host included.
    pub(crate) fn changes_headers(&self) -> bool {
        matches!(
            self,
            FeatureIr::RequestHeaders(_) | FeatureIr::ResponseHeaders(_) | FeatureIr::UrlRewriting(_)
        )
    }
}

/// Filter types that some feature reads, and that GRPCRoutes may have too.
const GRPC_FILTERS: &[&str] = &["RequestHeaderModifier", "RequestMirror", "ResponseHeaderModifier"];

/// Filter types that some feature reads.
const KNOWN_FILTERS: &[&str] = &[
    "CORS",
    "RequestHeaderModifier",
    "RequestMirror",
    "RequestRedirect",
    "ResponseHeaderModifier",
    "URLRewrite",
];

/// Checks the list of filters as a whole: types known, none twice, none that excludes another.
pub(crate) fn check_filters(cx: &mut RuleCx<'_, '_>, at: &At<'_>) {
    let known = if cx.is_grpc() { GRPC_FILTERS } else { KNOWN_FILTERS };
    for (index, filter) in at.filters.iter().enumerate() {
        let field = format!("{}.filters[{index}]", at.field);
        let kind = filter.kind.as_str();
        if kind == "ExtensionRef" {
            let name =
                filter.extension_ref.as_ref().map(|reference| reference.name.clone()).unwrap_or_default();
            let problem = format!("extension {name:?} is of no kind that this version knows");
            cx.unresolved(proto::literal!("InvalidKind"), field.clone(), problem, "remove the filter");
            cx.refuse(field, "the filter has no effect that could be kept", "remove the filter");
        } else if !known.contains(&kind) {
            let remedy = format!("use one of {}", known.join(", "));
            let problem = match KNOWN_FILTERS.contains(&kind) {
                true => format!("a filter of type {kind} is not for gRPC"),
                false => format!("{kind:?} is no type of filter"),
            };
            cx.refuse(format!("{field}.type"), problem, &remedy);
        } else if kind != "RequestMirror"
            && at.filters[..index].iter().any(|before| before.kind == filter.kind)
        {
            cx.refuse_combination(field, "stands there twice", "merge the two filters");
        } else if !has_part(filter) {
            cx.refuse(
                field,
                format!("a filter of type {kind} needs its settings"),
                "add them or remove the filter",
            );
        }
    }
    let has = |kind: &str| at.filters.iter().any(|filter| filter.kind == kind);
    if has("RequestRedirect") && has("URLRewrite") {
        let problem = "a request that is redirected cannot be rewritten";
        cx.refuse_combination(
            format!("{}.filters", at.field),
            problem,
            "remove RequestRedirect or URLRewrite",
        );
    }
    if has("RequestRedirect") && !at.backend && !at.rule.backend_refs.is_empty() {
        let problem = "a rule that redirects cannot have backends";
        cx.refuse_combination(
            format!("{}.backendRefs", at.field),
            problem,
            "remove the backendRefs or the redirect",
        );
    }
}

fn has_part(filter: &Filter) -> bool {
    match filter.kind.as_str() {
        "CORS" => filter.cors.is_some(),
        "RequestHeaderModifier" => filter.request_header_modifier.is_some(),
        "ResponseHeaderModifier" => filter.response_header_modifier.is_some(),
        "RequestMirror" => filter.request_mirror.is_some(),
        "RequestRedirect" => filter.request_redirect.is_some(),
        "URLRewrite" => filter.url_rewrite.is_some(),
        _ => true,
    }
}
