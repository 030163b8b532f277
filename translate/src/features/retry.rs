//! Retries of a rule (GEP-1731).

use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RetryBackOff, RetryHostPredicate, retry_host_predicate,
};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::{RetryPolicy as Policy, Route};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::google::protobuf::UInt32Value;
use envoy_types::util::pack_any;

use super::{At, EmitAt, Feature};
use crate::attach::RuleCx;
use crate::emit::duration;

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
            return None;
        }
        let mut conditions = "connect-failure,refused-stream,reset-before-request".to_owned();
        if !retry.codes.is_empty() {
            conditions.push_str(",retriable-status-codes");
        }
        Some(Policy {
            retry_on: conditions,
            num_retries: Some(UInt32Value { value: attempts }),
            retriable_status_codes: retry.codes.iter().map(|code| u32::from(*code)).collect(),
            // Another try goes to another endpoint where there is one.
            retry_host_predicate: vec![RetryHostPredicate {
                name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
                config_type: Some(retry_host_predicate::ConfigType::TypedConfig(pack_any(
                    PreviousHostsPredicate {},
                ))),
            }],
            host_selection_retry_max_attempts: 5,
            retry_back_off: retry.backoff.map(|backoff| RetryBackOff {
                base_interval: Some(duration(backoff.0.max(std::time::Duration::from_millis(1)))),
                max_interval: None,
            }),
            ..Default::default()
        })
    }

    fn on_route(policy: &Policy, route: &mut Route, _: &EmitAt<'_>) {
        if let Some(Action::Route(action)) = &mut route.action {
            action.retry_policy = Some(policy.clone());
        }
    }
}
