//! Timeouts of a rule (GEP-1742).

use std::time::Duration;

use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::{HedgePolicy, RetryPolicy, Route};

use super::{At, EmitAt, Feature};
use crate::envoy::duration;
use crate::model::Timeouts;
use crate::resolve::RuleCx;

/// Envoy's base of the pauses between tries.
const ENVOYS_BACK_OFF: Duration = Duration::from_millis(25);

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
        if timeouts.request.is_some() || timeouts.backend_request.is_some() {
            // What the rule says holds, and no limit on silence beside it.
            action.idle_timeout = Some(duration(Duration::ZERO));
        }
        let retry = action.retry_policy.as_mut().filter(|retry| retries(retry) > 0);
        let tries = match (retry, backend) {
            (Some(retry), Some(backend)) => {
                retry.per_try_timeout = Some(duration(backend));
                // The next try is scheduled without what Envoy couples with it otherwise: trying again what was
                // reset after it had been sent. The try that ran out goes on beside it.
                action.hedge_policy =
                    Some(HedgePolicy { hedge_on_per_try_timeout: true, ..HedgePolicy::default() });
                Some(all_tries(retry, backend))
            }
            (_, backend) => backend,
        };
        // Zero turns off Envoy's default of 15 s, which would cut streams that nobody limited.
        let whole = [request, tries].into_iter().flatten().min().unwrap_or(Duration::ZERO);
        action.timeout = Some(duration(whole));
    }
}

fn retries(policy: &RetryPolicy) -> u32 {
    policy.num_retries.as_ref().map_or(1, |retries| retries.value)
}

/// The time that all tries of a policy take at the longest, each as long as it may, with the pauses between them:
/// Envoy doubles them from a base, up to ten times the base.
fn all_tries(policy: &RetryPolicy, one: Duration) -> Duration {
    let base = policy.retry_back_off.as_ref().and_then(|back_off| back_off.base_interval.as_ref());
    let written = |base: &envoy_types::pb::google::protobuf::Duration| {
        Duration::new(u64::try_from(base.seconds).unwrap_or(0), u32::try_from(base.nanos).unwrap_or(0))
    };
    let base = base.map_or(ENVOYS_BACK_OFF, written);
    let retries = retries(policy);
    let pauses: Duration =
        (1..=retries.min(64)).map(|n| base.saturating_mul(2_u32.pow(n.min(4)).min(10))).sum();
    one.saturating_mul(retries.saturating_add(1)).saturating_add(pauses)
}
