//! RequestMirror; several on a rule, each for a share of the requests.

use envoy_types::pb::envoy::config::core::v3::RuntimeFractionalPercent;
use envoy_types::pb::envoy::config::route::v3::Route;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::RequestMirrorPolicy;
use envoy_types::pb::envoy::r#type::v3::FractionalPercent;
use envoy_types::pb::envoy::r#type::v3::fractional_percent::DenominatorType;

use super::{At, EmitAt, Feature};
use crate::model::{Fraction, Mirror};
use crate::resolve::RuleCx;

pub(crate) struct RequestMirror;

impl Feature for RequestMirror {
    type Ir = Vec<RequestMirrorPolicy>;

    fn resolve(cx: &mut RuleCx<'_, '_>, at: &At<'_>) -> Option<Self::Ir> {
        let mirrors: Vec<_> =
            at.all("RequestMirror", "requestMirror", |filter| filter.request_mirror.as_ref()).collect();
        let policies: Vec<RequestMirrorPolicy> = mirrors
            .into_iter()
            .filter_map(|(field, mirror)| {
                let share = share(cx, &field, mirror);
                // An unresolved mirror changes nothing for the request itself.
                let cluster = cx.cluster_of(&mirror.backend_ref, &format!("{field}.backendRef"))?;
                Some(RequestMirrorPolicy {
                    cluster: cluster.to_string(),
                    runtime_fraction: share,
                    disable_shadow_host_suffix_append: true,
                    ..Default::default()
                })
            })
            .collect();
        (!policies.is_empty()).then_some(policies)
    }

    fn on_route(policies: &Self::Ir, route: &mut Route, _: &EmitAt<'_>) {
        if let Some(Action::Route(action)) = &mut route.action {
            action.request_mirror_policies.extend(policies.iter().cloned());
        }
    }
}

/// The share in millionths; none for all requests.
fn share(cx: &mut RuleCx<'_, '_>, field: &str, mirror: &Mirror) -> Option<RuntimeFractionalPercent> {
    let millionths = match (mirror.percent, &mirror.fraction) {
        (None, None) => return None,
        (Some(_), Some(_)) => {
            cx.refuse(field, "has both percent and fraction", "remove one of them");
            return None;
        }
        (Some(percent), None) => u64::from(percent) * 10_000,
        (None, Some(Fraction { numerator, denominator })) => {
            let denominator = denominator.unwrap_or(100);
            if denominator == 0 {
                cx.refuse(format!("{field}.fraction.denominator"), "is 0", "use a positive number");
                return None;
            }
            u64::from(*numerator) * 1_000_000 / u64::from(denominator)
        }
    };
    if millionths > 1_000_000 {
        cx.refuse(field, "mirrors more than all requests", "use a share of at most 100 percent");
        return None;
    }
    Some(RuntimeFractionalPercent {
        default_value: Some(FractionalPercent {
            numerator: u32::try_from(millionths).unwrap_or(1_000_000),
            denominator: DenominatorType::Million.into(),
        }),
        ..Default::default()
    })
}
