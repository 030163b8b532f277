//! Retries of a rule (GEP-1731), and of all routes without.

use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RetryBackOff, RetryHostPredicate, retry_host_predicate,
};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::{RetryPolicy as Policy, Route};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::google::protobuf::UInt32Value;
use envoy_types::util::pack_any;

use super::{At, EmitAt, Feature};
use crate::envoy::duration;
use crate::resolve::RuleCx;

pub(crate) struct RetryPolicy;

impl Feature for RetryPolicy {
    type Ir = Policy;

    fn resolve(cx: &mut RuleCx<'_, '_>, at: &At<'_>) -> Option<Policy> {
        let retry = at.rule.retry.as_ref().filter(|_| !at.backend)?;
        for (index, code) in retry.codes.iter().enumerate() {
            if !(400..=599).contains(code) {
                let field = format!("{}.retry.codes[{index}]", at.field);
                cx.refuse(field, format!("{code} is no error"), "use codes from 400 to 599");
            }
        }
        let attempts = retry.attempts.unwrap_or(1);
        if attempts == 0 {
            // A policy nevertheless: without one, that of the virtual host would count.
            return Some(Policy { num_retries: Some(UInt32Value { value: 0 }), ..Policy::default() });
        }
        let mut policy = nothing_sent(attempts);
        if !retry.codes.is_empty() {
            policy.retry_on.push_str(",retriable-status-codes");
            policy.retriable_status_codes = retry.codes.iter().map(|code| u32::from(*code)).collect();
        }
        policy.retry_back_off = retry.backoff.map(|backoff| RetryBackOff {
            base_interval: Some(duration(backoff.0.max(std::time::Duration::from_millis(1)))),
            max_interval: None,
        });
        Some(policy)
    }

    fn on_route(policy: &Policy, route: &mut Route, _: &EmitAt<'_>) {
        if let Some(Action::Route(action)) = &mut route.action {
            action.retry_policy = Some(policy.clone());
        }
    }
}

/// Retries of what no backend has seen anything of, so that any method may be tried again: no connection, a
/// connection that was lost before the request went out, a stream that the backend refused.
pub(crate) fn nothing_sent(attempts: u32) -> Policy {
    Policy {
        retry_on: "connect-failure,refused-stream,reset-before-request".to_owned(),
        num_retries: Some(UInt32Value { value: attempts }),
        // Another try goes to another endpoint where there is one.
        retry_host_predicate: vec![RetryHostPredicate {
            name: "previous_hosts".to_owned(),
            config_type: Some(retry_host_predicate::ConfigType::TypedConfig(pack_any(
                PreviousHostsPredicate {},
            ))),
        }],
        // Endpoints are chosen at random: with few choices it would be the same one again now and then.
        host_selection_retry_max_attempts: 30,
        ..Policy::default()
    }
}
