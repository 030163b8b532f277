//! ResponseHeaderModifier, on rules and on backends.

use envoy_types::pb::envoy::config::route::v3::Route;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;

use super::header_names::Message;
use super::headers::{self, Headers};
use super::{At, EmitAt, Feature};
use crate::resolve::RuleCx;

pub(crate) struct ResponseHeaders;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ir(Headers);

impl Feature for ResponseHeaders {
    type Ir = Ir;

    fn resolve(cx: &mut RuleCx<'_, '_>, at: &At<'_>) -> Option<Ir> {
        let (field, filter) = at
            .all("ResponseHeaderModifier", "responseHeaderModifier", |filter| {
                filter.response_header_modifier.as_ref()
            })
            .next()?;
        Some(Ir(headers::resolve(cx, &field, filter, Message::Response)))
    }

    fn on_route(Ir(headers): &Ir, route: &mut Route, _: &EmitAt<'_>) {
        headers.write(&mut route.response_headers_to_add, &mut route.response_headers_to_remove);
    }

    fn on_backend(Ir(headers): &Ir, backend: &mut ClusterWeight) -> bool {
        headers.write(&mut backend.response_headers_to_add, &mut backend.response_headers_to_remove);
        true
    }
}
