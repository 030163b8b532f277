//! URLRewrite, and the path changes that redirects share with it.

use envoy_types::pb::envoy::config::route::v3::Route;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::HostRewriteSpecifier;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatchAndSubstitute, RegexMatcher};

use super::{At, EmitAt, Feature};
use crate::model::{Match, PathModifier, UrlRewrite};
use crate::resolve::{RuleCx, path};

pub(crate) struct UrlRewriting;

impl Feature for UrlRewriting {
    type Ir = UrlRewrite;

    fn resolve(cx: &mut RuleCx<'_, '_>, at: &At<'_>) -> Option<UrlRewrite> {
        let (field, rewrite) =
            at.all("URLRewrite", "urlRewrite", |filter| filter.url_rewrite.as_ref()).next()?;
        if let Some(path) = &rewrite.path {
            check_path(cx, at, &format!("{field}.path"), path);
        }
        if let Some(hostname) = &rewrite.hostname
            && let Some(problem) = crate::hostname::precise_problem(hostname)
        {
            cx.refuse(format!("{field}.hostname"), format!("{hostname:?} {problem}"), "use a DNS name");
        }
        Some(rewrite.clone())
    }

    fn on_route(rewrite: &UrlRewrite, route: &mut Route, at: &EmitAt<'_>) {
        let Some(Action::Route(action)) = &mut route.action else { return };
        if let Some(hostname) = &rewrite.hostname {
            action.host_rewrite_specifier =
                Some(HostRewriteSpecifier::HostRewriteLiteral(hostname.to_string()));
        }
        match rewrite.path.as_ref().and_then(|path| rewrite_of(path, at.matched)) {
            None => {}
            Some(PathRewrite::Prefix(prefix)) => action.prefix_rewrite = prefix,
            Some(PathRewrite::Regex(regex)) => action.regex_rewrite = Some(regex),
            Some(PathRewrite::Full(path)) => action.regex_rewrite = Some(regex("^/.*$", &path)),
        }
    }
}

/// How Envoy is to change a path. The query always stays.
pub(super) enum PathRewrite {
    /// Replace all of it.
    Full(String),
    /// Replace the matched prefix.
    Prefix(String),
    /// Replace by regular expression.
    Regex(RegexMatchAndSubstitute),
}

/// Refuses paths that Envoy would, and prefix replacement without a prefix.
pub(super) fn check_path(cx: &mut RuleCx<'_, '_>, at: &At<'_>, field: &str, path: &PathModifier) {
    let (name, value) = match path {
        PathModifier::ReplaceFullPath { replace_full_path } => ("replaceFullPath", replace_full_path),
        PathModifier::ReplacePrefixMatch { replace_prefix_match } => {
            ("replacePrefixMatch", replace_prefix_match)
        }
    };
    if value.len() > 1024 || value.bytes().any(|byte| byte.is_ascii_control() || b"?# ".contains(&byte)) {
        let problem = "has a query, a fragment, blanks or control characters, or is longer than 1024 bytes";
        cx.refuse(format!("{field}.{name}"), problem, "give a plain path");
    }
    let by_prefix = |matched: &Match| matched.path.kind == "PathPrefix";
    if matches!(path, PathModifier::ReplacePrefixMatch { .. }) && !at.rule.matches.iter().all(by_prefix) {
        let problem = "only rules whose matches are all of type PathPrefix have a prefix to replace";
        cx.refuse(format!("{field}.type"), problem, "use ReplaceFullPath or PathPrefix matches");
    }
}

/// The change for one match, so that there is never a double or a missing slash; none if nothing changes.
pub(super) fn rewrite_of(path: &PathModifier, matched: &Match) -> Option<PathRewrite> {
    let replacement = match path {
        PathModifier::ReplaceFullPath { replace_full_path } => {
            return Some(PathRewrite::Full(absolute(replace_full_path)));
        }
        PathModifier::ReplacePrefixMatch { replace_prefix_match } => absolute(replace_prefix_match),
    };
    let replacement = replacement.trim_end_matches('/');
    let prefix = matched.path.value.trim_end_matches('/');
    match (prefix.is_empty(), replacement.is_empty()) {
        (true, true) => None,
        // Prefix "/": Envoy's prefix includes the slash that must stay.
        (true, false) => Some(PathRewrite::Prefix(format!("{replacement}/"))),
        (false, false) => Some(PathRewrite::Prefix(replacement.to_owned())),
        // Replacement "/": what follows the prefix begins with a slash, or is nothing.
        (false, true) => {
            Some(PathRewrite::Regex(regex(&format!("^{}/*", regex_syntax::escape(prefix)), "/")))
        }
    }
}

fn absolute(path: &str) -> String {
    let path = path::encoded(path);
    if path.starts_with('/') { path } else { format!("/{path}") }
}

fn regex(pattern: &str, substitution: &str) -> RegexMatchAndSubstitute {
    RegexMatchAndSubstitute {
        pattern: Some(RegexMatcher { regex: pattern.to_owned(), ..Default::default() }),
        substitution: substitution.to_owned(),
    }
}
