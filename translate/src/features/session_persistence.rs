//! Session persistence of a rule (GEP-1619, experimental channel): requests of a session go to the endpoint that
//! answered its first. The session is a cookie or a header with the endpoint's address; an endpoint that is gone is
//! replaced by another.

use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::route::v3::Route;
use envoy_types::pb::envoy::extensions::filters::http::stateful_session::v3::stateful_session_per_route::Override;
use envoy_types::pb::envoy::extensions::filters::http::stateful_session::v3::{
    StatefulSession, StatefulSessionPerRoute,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::extensions::http::stateful_session::cookie::v3::CookieBasedSessionState;
use envoy_types::pb::envoy::extensions::http::stateful_session::header::v3::HeaderBasedSessionState;
use envoy_types::pb::envoy::r#type::http::v3::Cookie;
use envoy_types::util::pack_any;
use proto::{ArcStr, ContentHash};

use super::header_names::{Message, Writing, refusal};
use super::headers::good;
use super::{At, EmitAt, Feature, Stage, is_token};
use crate::envoy::duration;
use crate::model::SessionPersistence as Model;
use crate::resolve::RuleCx;

const NAME: &str = "envoy.filters.http.stateful_session";

pub(crate) struct SessionPersistence;

/// How a client shows its session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ir {
    Cookie(Cookie),
    Header(ArcStr),
}

impl Feature for SessionPersistence {
    type Ir = Ir;

    fn resolve(cx: &mut RuleCx<'_, '_>, at: &At<'_>) -> Option<Ir> {
        let persistence = at.rule.session_persistence.as_ref().filter(|_| !at.backend)?;
        let field = format!("{}.sessionPersistence", at.field);
        if at.rule.backend_refs.iter().filter(|backend| backend.weight != Some(0)).count() > 1 {
            let problem = "sessions cannot be kept where requests are split over several backends";
            cx.refuse(&field, problem, "leave one backend, or remove sessionPersistence");
        }
        if persistence.idle_timeout.is_some() {
            let problem = "the end of idle sessions is not supported";
            cx.refuse(format!("{field}.idleTimeout"), problem, "remove it");
        }
        match persistence.kind.as_deref().unwrap_or("Cookie") {
            "Cookie" => cookie(cx, &field, persistence).map(Ir::Cookie),
            "Header" => header(cx, &field, persistence).map(Ir::Header),
            other => {
                let problem = format!("{other:?} is no type of session");
                cx.refuse(format!("{field}.type"), problem, "use Cookie or Header");
                None
            }
        }
    }

    fn http_filter() -> Option<(Stage, HttpFilter)> {
        let filter = HttpFilter {
            name: NAME.to_owned(),
            config_type: Some(ConfigType::TypedConfig(pack_any(StatefulSession::default()))),
            ..HttpFilter::default()
        };
        Some((Stage::Session, filter))
    }

    fn on_route(ir: &Ir, route: &mut Route, _: &EmitAt<'_>) {
        let state = match ir {
            Ir::Cookie(cookie) => TypedExtensionConfig {
                name: "envoy.http.stateful_session.cookie".to_owned(),
                typed_config: Some(pack_any(CookieBasedSessionState { cookie: Some(cookie.clone()) })),
            },
            Ir::Header(name) => TypedExtensionConfig {
                name: "envoy.http.stateful_session.header".to_owned(),
                typed_config: Some(pack_any(HeaderBasedSessionState { name: name.to_string() })),
            },
        };
        let session = StatefulSession { session_state: Some(state), ..StatefulSession::default() };
        let on = StatefulSessionPerRoute { r#override: Some(Override::StatefulSession(session)) };
        route.typed_per_filter_config.insert(NAME.to_owned(), pack_any(on));
    }
}

fn cookie(cx: &mut RuleCx<'_, '_>, field: &str, persistence: &Model) -> Option<Cookie> {
    let cookie = persistence.cookie.clone().unwrap_or_default();
    let name = cookie.name.or_else(|| persistence.session_name.clone());
    let name = name.unwrap_or_else(|| own_name(cx, field));
    if !is_token(&name) {
        cx.refuse(format!("{field}.cookie.name"), format!("{name:?} is no name of a cookie"), "correct it");
    }
    let path = cookie.path.filter(|path| !path.is_empty()).unwrap_or_else(|| "/".into());
    if !path.starts_with('/') || path.contains([';', ',']) || path.chars().any(char::is_control) {
        let problem = format!("{path:?} is no path of a cookie");
        cx.refuse(format!("{field}.cookie.path"), problem, "begin it with / and use neither ; nor ,");
    }
    let lifetime = cookie.lifetime_type.or_else(|| persistence.cookie_config.clone()?.lifetime_type);
    let ttl = match (lifetime.as_deref().unwrap_or("Session"), persistence.absolute_timeout) {
        ("Permanent", Some(timeout)) => Some(duration(timeout.0)),
        ("Permanent", None) => {
            let problem = "is missing: a permanent cookie needs it";
            cx.refuse(format!("{field}.absoluteTimeout"), problem, "set it, or use lifetimeType Session");
            None
        }
        (_, Some(_)) => {
            let problem = "the end of a session without a permanent cookie is not supported";
            cx.refuse(
                format!("{field}.absoluteTimeout"),
                problem,
                "set cookie.lifetimeType to Permanent, or remove absoluteTimeout",
            );
            None
        }
        (_, None) => None,
    };
    Some(Cookie { name: name.to_string(), ttl, path: path.to_string(), ..Cookie::default() })
}

fn header(cx: &mut RuleCx<'_, '_>, field: &str, persistence: &Model) -> Option<ArcStr> {
    let name = persistence.header.as_ref().map(|header| header.name.clone());
    let name = name.or_else(|| persistence.session_name.clone());
    if persistence.absolute_timeout.is_some() {
        let problem = "the end of a session of type Header is not supported";
        cx.refuse(format!("{field}.absoluteTimeout"), problem, "remove it, or use a permanent cookie");
    }
    let Some(name) = name else {
        cx.refuse(format!("{field}.header.name"), "is missing", "name the header of the session");
        return None;
    };
    // Envoy writes it into answers.
    let refused = refusal(&name, Writing::Set, Message::Response);
    good(cx, format!("{field}.header.name"), refused).then_some(name)
}

/// A name that no other rule's cookie has.
fn own_name(cx: &RuleCx<'_, '_>, field: &str) -> ArcStr {
    let rule = format!("{} {field}", cx.route());
    format!("fleetgate-{:.16}", ContentHash::of(rule.as_bytes()).to_string()).into()
}
