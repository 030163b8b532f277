//! GatewayClass: which classes are ours.

use proto::{ArcStr, Condition, ObjectStatus, Report, ResourceKey, literal};

use crate::engine::{Cx, Output};
use crate::graph::Value;
use crate::model::GatewayClass;

/// Features of the Gateway API that we support, sorted (`GatewayClassStatus.supportedFeatures`).
const FEATURES: &[&str] = &[
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "Gateway",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayPort8080",
    "GatewayRouteHostnameIntersectionPrecedence",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteBackendURLRewrite",
    "HTTPRouteCORS",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteRetryCodes",
    "HTTPRouteRetryConnectionError",
    "HTTPRouteSchemeRedirect",
    "ReferenceGrant",
];

pub(crate) fn compute(key: &ResourceKey, cx: &mut Cx<'_>) -> Output {
    let ours =
        cx.object::<GatewayClass>(key).filter(|class| class.spec.controller_name == cx.env().controller_name);
    let Some(class) = ours else { return Output::of(Value::Absent) };
    let accepted = match &class.spec.parameters_ref {
        None => Condition::new(literal!("Accepted"), true, literal!("Accepted"), "the class is ours"),
        Some(parameters) => Condition::new(
            literal!("Accepted"),
            false,
            literal!("InvalidParameters"),
            format!(
                "spec.parametersRef: {} is of no kind that this version reads; remove it",
                parameters.name
            ),
        ),
    };
    let supported = Condition::new(
        literal!("SupportedVersion"),
        true,
        literal!("SupportedVersion"),
        "the Gateway API version is supported",
    );
    let mut output = Output::of(if accepted.holds() { Value::Class } else { Value::Absent });
    output.report = Some(Box::new(Report {
        key: key.clone(),
        status: Some(ObjectStatus {
            observed_generation: cx.generation(key),
            conditions: vec![accepted, supported],
            supported_features: FEATURES.iter().map(|feature| ArcStr::from(*feature)).collect(),
            ..ObjectStatus::default()
        }),
    }));
    output
}

#[cfg(test)]
mod tests {
    #[test]
    fn features_are_sorted() {
        assert!(super::FEATURES.is_sorted());
    }
}
