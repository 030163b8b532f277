//! Timeouts of a rule (GEP-1742).

use std::time::Duration;

use envoy_types::pb::envoy::config::route::v3::Route;
use envoy_types::pb::envoy::config::route::v3::route::Action;

use super::{At, EmitAt, Feature};
use crate::attach::RuleCx;
use crate::emit::duration;
use crate::model::Timeouts;

pub(crate) struct RouteTimeouts;

impl Feature for RouteTimeouts {
    type Ir = Timeouts;

    fn resolve(cx: &mut RuleCx<'_, '_>, at: &At<'_>) -> Option<Timeouts> {
        if at.backend {
            return None;
        }
        let timeouts = at.rule.timeouts.clone();
        if let (Some(request), Some(backend)) = (timeouts.request, timeouts.backend_request)
            && !request.0.is_zero()
            && backend.0 > request.0
        {
            let problem = "is longer than timeouts.request";
            cx.refuse(format!("{}.timeouts.backendRequest", at.field), problem, "make it at most as long");
        }
        Some(timeouts)
    }

    /// Runs after retries: with them a backend's timeout is one of each try, without it bounds the whole.
    fn on_route(timeouts: &Timeouts, route: &mut Route, _: &EmitAt<'_>) {
        let Some(Action::Route(action)) = &mut route.action else { return };
        let limit = |timeout: Option<crate::model::GepDuration>| {
            timeout.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero())
        };
        let (request, backend) = (limit(timeouts.request), limit(timeouts.backend_request));
        // Zero turns off Envoy's default of 15 s, which would cut streams that nobody limited.
        let mut whole = request.unwrap_or(Duration::ZERO);
        match (&mut action.retry_policy, backend) {
            (Some(retry), Some(backend)) if !retry.retry_on.is_empty() => {
                retry.per_try_timeout = Some(duration(backend));
            }
            (_, Some(backend)) => whole = backend,
            (_, None) => {}
        }
        action.timeout = Some(duration(whole));
    }
}
