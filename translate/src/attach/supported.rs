//! The features of the Gateway API that a GatewayClass tells.

use proto::{ArcStr, ResourceKey};

use super::installed;
use crate::cx::Cx;
use crate::env::Placement;

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

/// Features of the experimental channel: not told where its fields are not installed.
pub const EXPERIMENTAL_FEATURES: &[&str] = &["ClusterTrustBundle", "GatewayListenerFilters"];

/// Those of them that need proxies in pods.
pub const EXPERIMENTAL_POD_FEATURES: [&str; 2] =
    ["GatewayAddressRoutability", "GatewayAddressRoutabilityCluster"];

/// All that hold for a class, sorted.
pub(crate) fn features(cx: &mut Cx<'_>, class: &ResourceKey) -> Vec<ArcStr> {
    let mut features: Vec<&str> = FEATURES.to_vec();
    if cx.env().placement == Placement::Pods {
        features.extend(POD_FEATURES);
    }
    if installed::experimental_channel(cx, class) {
        if cx.env().placement == Placement::Pods {
            features.extend(EXPERIMENTAL_POD_FEATURES);
        }
        let bundles = installed::trust_bundles(cx, class);
        features.extend(
            EXPERIMENTAL_FEATURES.iter().filter(|feature| bundles || **feature != "ClusterTrustBundle"),
        );
    }
    features.sort_unstable();
    features.into_iter().map(ArcStr::from).collect()
}

#[cfg(test)]
mod tests {
    use proto::{Change, ClusterId, Epoch, Event, Kind, ResourceKey};
    use serde_json::{Value, json};

    use crate::Env;

    #[test]
    fn features_are_sorted() {
        assert!(super::FEATURES.is_sorted());
    }

    fn event(kind: Kind, name: &str, object: &Value) -> Event {
        let mut event = Event::synced(ClusterId::LOCAL, kind.clone(), Epoch(0), Epoch(0), 0);
        event.key = ResourceKey::local(kind, "", name);
        event.change = Change::Upsert(object.to_string().into());
        event
    }

    /// What a class tells in a cluster with this channel and these resources.
    fn told(channel: &str, resources: &[&str]) -> Vec<String> {
        let class = json!({"spec": {"controllerName": "fleetgate.dev/gateway"}});
        let annotations = json!({"gateway.networking.k8s.io/channel": channel});
        let definition = json!({"metadata": {"annotations": annotations}});
        let gateways = "gateways.gateway.networking.k8s.io";
        let mut events = vec![
            event(Kind::GATEWAY_CLASS, "fleetgate", &class),
            event(Kind::CUSTOM_RESOURCE_DEFINITION, gateways, &definition),
        ];
        events.extend(resources.iter().map(|name| event(Kind::API_RESOURCE, name, &json!({}))));
        let snapshot = crate::translate(events, &Env::pods());
        let status = &snapshot.reports[&ResourceKey::local(Kind::GATEWAY_CLASS, "", "fleetgate")];
        assert!(status.supported_features.is_sorted());
        status.supported_features.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn experimental_features_are_told_where_they_are_installed() {
        let bundles = "clustertrustbundles.certificates.k8s.io";
        let experimental = [super::EXPERIMENTAL_FEATURES, &super::EXPERIMENTAL_POD_FEATURES].concat();
        let all = experimental.len();
        let experimental = |features: Vec<String>| {
            features.iter().filter(|feature| experimental.contains(&feature.as_str())).count()
        };
        assert_eq!(experimental(told("experimental", &[bundles])), all);
        assert_eq!(experimental(told("experimental", &["odd"])), all - 1);
        assert_eq!(experimental(told("standard", &[bundles])), 0);
    }
}
