//! RequestHeaderModifier, on rules and on backends.

use envoy_types::pb::envoy::config::route::v3::Route;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::HostRewriteSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::{ClusterWeight, cluster_weight};

use super::header_names::{Message, host_refusal};
use super::headers::{self, Headers};
use super::{At, EmitAt, Feature};
use crate::resolve::RuleCx;

pub(crate) struct RequestHeaders;

/// Envoy keeps the host apart from the other headers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ir {
    headers: Headers,
    host: Option<String>,
}

impl Feature for RequestHeaders {
    type Ir = Ir;

    fn resolve(cx: &mut RuleCx<'_, '_>, at: &At<'_>) -> Option<Ir> {
        let (field, filter) = at
            .all("RequestHeaderModifier", "requestHeaderModifier", |filter| {
                filter.request_header_modifier.as_ref()
            })
            .next()?;
        let mut headers = headers::resolve(cx, &field, filter, Message::Request);
        let is_host = |name: &str| name.eq_ignore_ascii_case("host");
        let host = filter.set.iter().position(|header| is_host(&header.name)).map(|index| {
            let value = &filter.set[index].value;
            headers::good(cx, format!("{field}.set[{index}].value"), host_refusal(value));
            value.to_string()
        });
        headers.add.retain(|option| !option.header.as_ref().is_some_and(|header| is_host(&header.key)));
        Some(Ir { headers, host })
    }

    fn on_route(ir: &Ir, route: &mut Route, _: &EmitAt<'_>) {
        ir.headers.write(&mut route.request_headers_to_add, &mut route.request_headers_to_remove);
        if let (Some(host), Some(Action::Route(action))) = (&ir.host, &mut route.action) {
            action.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(host.clone()));
        }
    }

    fn on_backend(ir: &Ir, backend: &mut ClusterWeight) -> bool {
        ir.headers.write(&mut backend.request_headers_to_add, &mut backend.request_headers_to_remove);
        if let Some(host) = &ir.host {
            backend.host_rewrite_specifier =
                Some(cluster_weight::HostRewriteSpecifier::HostRewriteLiteral(host.clone()));
        }
        true
    }
}
