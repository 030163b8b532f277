//! GatewayClass: which classes are ours.

use proto::{ArcStr, Condition, Fault, ObjectStatus, Report, ResourceKey, literal};

use super::{fault, proxies, sentence};

use crate::engine::{Cx, Output};
use crate::env::Placement;
use crate::graph::Value;
use crate::model::GatewayClass;

/// Features of the Gateway API that we support, sorted (`GatewayClassStatus.supportedFeatures`).
pub const FEATURES: &[&str] = &[
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "GRPCRouteRequestHeaderModifier",
    "Gateway",
    "GatewayBackendClientCertificate",
    "GatewayFrontendClientCertificateValidation",
    "GatewayFrontendClientCertificateValidationInsecureFallback",
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
    "HTTPRouteDestinationPortMatching",
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
    "ListenerSet",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
    "TLSRouteModeMixed",
    "TLSRouteModeTerminate",
];

/// Features that need proxies in pods, with a Service for them.
pub const POD_FEATURES: [&str; 3] =
    ["GatewayAddressEmpty", "GatewayInfrastructure", "GatewayStaticAddresses"];

pub(crate) fn compute(key: &ResourceKey, cx: &mut Cx<'_>) -> Output {
    let ours =
        cx.object::<GatewayClass>(key).filter(|class| class.spec.controller_name == cx.env().controller_name);
    let Some(class) = ours else { return Output::of(Value::Absent) };
    let parameters = parameters(key, &class, cx);
    let accepted = match &parameters {
        Ok(_) => Condition::new(literal!("Accepted"), true, literal!("Accepted"), "the class is ours"),
        Err(fault) => {
            Condition::new(literal!("Accepted"), false, literal!("InvalidParameters"), sentence(fault))
        }
    };
    let supported = Condition::new(
        literal!("SupportedVersion"),
        true,
        literal!("SupportedVersion"),
        "the Gateway API version is supported",
    );
    let mut features: Vec<&str> = FEATURES.to_vec();
    if cx.env().placement == Placement::Pods {
        features.extend(POD_FEATURES);
        features.sort_unstable();
    }
    let (value, faults) = match parameters {
        Ok(parameters) => (Value::Class(parameters), Vec::new()),
        Err(fault) => (Value::Absent, vec![fault]),
    };
    let mut output = Output::of(value);
    output.report = Some(Box::new(Report {
        key: key.clone(),
        status: Some(ObjectStatus {
            observed_generation: cx.generation(key),
            conditions: vec![accepted, supported],
            supported_features: features.into_iter().map(ArcStr::from).collect(),
            faults,
            ..ObjectStatus::default()
        }),
    }));
    output
}

/// The class's GatewayParameters; where proxies are no pods, nothing is read.
fn parameters(
    key: &ResourceKey,
    class: &GatewayClass,
    cx: &mut Cx<'_>,
) -> Result<Option<ResourceKey>, Fault> {
    let Some(reference) = &class.spec.parameters_ref else { return Ok(None) };
    const FIELD: &str = "spec.parametersRef";
    if cx.env().placement != Placement::Pods {
        let problem = format!("{} is of no kind that this version reads", reference.name);
        return Err(fault(key, FIELD, problem, "remove it"));
    }
    let Some(namespace) = &reference.namespace else {
        return Err(fault(key, FIELD, "namespace is missing", "name the namespace of the GatewayParameters"));
    };
    proxies::referent(key, FIELD, reference, namespace, cx).map(Some)
}

#[cfg(test)]
mod tests {
    #[test]
    fn features_are_sorted() {
        assert!(super::FEATURES.is_sorted());
    }
}
