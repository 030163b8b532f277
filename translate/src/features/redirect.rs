//! RequestRedirect.
//!
//! Envoy puts the port that a client wrote into the Location unless it is told one, and shows one that it is told
//! even where it is the scheme's default. So for a Location without a port a script takes the port from the request's
//! host before the redirect is made; no backend sees that.

use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::{RedirectAction, Route};
use envoy_types::pb::envoy::extensions::filters::http::lua::v3::lua_per_route::Override;
use envoy_types::pb::envoy::extensions::filters::http::lua::v3::{Lua, LuaPerRoute};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::util::pack_any;

use super::url_rewrite::{PathRewrite, check_path, rewrite_of};
use super::{At, EmitAt, Feature, Stage};
use crate::ir::Scheme;
use crate::model::Redirect;
use crate::resolve::RuleCx;

const FILTER: &str = "envoy.filters.http.lua";
/// Name of the script in the filter's configuration.
const SCRIPT: &str = "host-without-port";
/// An IPv6 address has colons of its own, in brackets.
const HOST_WITHOUT_PORT: &str = r#"function envoy_on_request(handle)
  local headers = handle:headers()
  local host = headers:get(":authority")
  local bare = host and host:match("^(.+):%d*$")
  if bare and (bare:sub(1, 1) == "[" or not bare:find(":", 1, true)) then
    headers:replace(":authority", bare)
  end
end
"#;

pub(crate) struct RequestRedirect;

impl Feature for RequestRedirect {
    type Ir = Redirect;

    fn resolve(cx: &mut RuleCx<'_, '_>, at: &At<'_>) -> Option<Redirect> {
        let (field, redirect) =
            at.all("RequestRedirect", "requestRedirect", |filter| filter.request_redirect.as_ref()).next()?;
        if redirect.scheme.as_deref().is_some_and(|scheme| Scheme::of_uri(scheme).is_none()) {
            cx.refuse(format!("{field}.scheme"), "is neither http nor https", "use one of them");
        }
        if let Some(hostname) = &redirect.hostname
            && let Some(problem) = crate::hostname::precise_problem(hostname)
        {
            cx.refuse(format!("{field}.hostname"), format!("{hostname:?} {problem}"), "use a DNS name");
        }
        if response_code(redirect.status_code).is_none() {
            cx.refuse(format!("{field}.statusCode"), "is no redirect", "use 301, 302, 303, 307 or 308");
        }
        if let Some(path) = &redirect.path {
            check_path(cx, at, &format!("{field}.path"), path);
        }
        Some(redirect.clone())
    }

    fn http_filter() -> Option<(Stage, HttpFilter)> {
        let script = DataSource {
            specifier: Some(Specifier::InlineString(HOST_WITHOUT_PORT.to_owned())),
            ..DataSource::default()
        };
        let lua = Lua { source_codes: [(SCRIPT.to_owned(), script)].into(), ..Lua::default() };
        let filter = HttpFilter {
            name: FILTER.to_owned(),
            config_type: Some(ConfigType::TypedConfig(pack_any(lua))),
            ..HttpFilter::default()
        };
        Some((Stage::Redirect, filter))
    }

    fn on_route(redirect: &Redirect, route: &mut Route, at: &EmitAt<'_>) {
        if redirect.hostname.is_none() && location_port(redirect, at) == 0 {
            let script =
                LuaPerRoute { r#override: Some(Override::Name(SCRIPT.to_owned())), ..LuaPerRoute::default() };
            route.typed_per_filter_config.insert(FILTER.to_owned(), pack_any(script));
        }
        let mut action = RedirectAction {
            host_redirect: redirect.hostname.as_deref().unwrap_or_default().to_owned(),
            port_redirect: u32::from(location_port(redirect, at)),
            response_code: response_code(redirect.status_code).unwrap_or(RedirectResponseCode::Found).into(),
            ..Default::default()
        };
        if let Some(scheme) = &redirect.scheme {
            action.scheme_rewrite_specifier =
                Some(SchemeRewriteSpecifier::SchemeRedirect(scheme.to_string()));
        }
        action.path_rewrite_specifier = redirect.path.as_ref().and_then(|path| {
            Some(match rewrite_of(path, at.matched)? {
                PathRewrite::Full(path) => PathRewriteSpecifier::PathRedirect(path),
                PathRewrite::Prefix(prefix) => PathRewriteSpecifier::PrefixRewrite(prefix),
                PathRewrite::Regex(regex) => PathRewriteSpecifier::RegexRewrite(regex),
            })
        });
        route.action = Some(Action::Redirect(action));
    }
}

/// Port of the Location: the one given, else the default of a given scheme, else the listener's; left out
/// (0) where it is the scheme's default (`HTTPRequestRedirectFilter.port`).
fn location_port(redirect: &Redirect, at: &EmitAt<'_>) -> u16 {
    let scheme = redirect.scheme.as_deref().and_then(Scheme::of_uri).unwrap_or(at.context.scheme);
    let port = match (redirect.port, &redirect.scheme) {
        (Some(port), _) => port,
        (None, Some(_)) => scheme.default_port(),
        (None, None) => at.context.port,
    };
    if port == scheme.default_port() { 0 } else { port }
}

fn response_code(code: Option<u16>) -> Option<RedirectResponseCode> {
    Some(match code.unwrap_or(302) {
        301 => RedirectResponseCode::MovedPermanently,
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => return None,
    })
}
