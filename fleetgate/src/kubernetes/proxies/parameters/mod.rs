//! `GatewayParameters.spec.kube` of k8sgateway 1.18, as far as it concerns what is deployed.

mod ai;
mod image;
mod istio;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, PodSecurityContext, Probe, ResourceRequirements, SecurityContext,
    Toleration,
};
use serde::Deserialize;
use serde_json::{Map, Value};

pub(super) use ai::AiExtension;
pub(super) use image::Image;
pub(super) use istio::{Istio, IstioProxyContainer, SdsContainer};

/// All of it; what is absent has a default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Parameters {
    pub(super) deployment: Deployment,
    pub(super) envoy_container: EnvoyContainer,
    pub(super) sds_container: SdsContainer,
    pub(super) istio: Istio,
    pub(super) pod_template: PodTemplate,
    pub(super) service: Service,
    pub(super) service_account: Extra,
    pub(super) stats: Stats,
    pub(super) ai_extension: AiExtension,
    pub(super) floating_user_id: bool,
    /// Not of k8sgateway: `spec` of an autoscaler, of which the target is set.
    pub(super) horizontal_pod_autoscaler: Option<Map<String, Value>>,
    /// Not of k8sgateway: `spec` of a budget, of which the selector is set.
    pub(super) pod_disruption_budget: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Deployment {
    /// None: whoever scales it says how many.
    pub(super) replicas: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EnvoyContainer {
    pub(super) image: Image,
    pub(super) bootstrap: EnvoyBootstrap,
    pub(super) security_context: Option<SecurityContext>,
    pub(super) resources: Option<ResourceRequirements>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EnvoyBootstrap {
    pub(super) log_level: Option<String>,
    pub(super) component_log_levels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodTemplate {
    pub(super) extra_labels: BTreeMap<String, String>,
    pub(super) extra_annotations: BTreeMap<String, String>,
    pub(super) security_context: Option<PodSecurityContext>,
    pub(super) image_pull_secrets: Vec<LocalObjectReference>,
    pub(super) node_selector: BTreeMap<String, String>,
    pub(super) affinity: Option<Affinity>,
    pub(super) tolerations: Vec<Toleration>,
    pub(super) graceful_shutdown: GracefulShutdown,
    pub(super) termination_grace_period_seconds: Option<u32>,
    pub(super) readiness_probe: Option<Probe>,
    pub(super) liveness_probe: Option<Probe>,
}

/// Time for clients and load balancers to go elsewhere before the proxy ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GracefulShutdown {
    pub(super) enabled: bool,
    pub(super) sleep_time_seconds: u32,
}

impl Default for GracefulShutdown {
    fn default() -> Self {
        GracefulShutdown { enabled: true, sleep_time_seconds: 10 }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Service {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(rename = "clusterIP")]
    pub(super) cluster_ip: Option<String>,
    pub(super) extra_labels: BTreeMap<String, String>,
    pub(super) extra_annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Extra {
    pub(super) extra_labels: BTreeMap<String, String>,
    pub(super) extra_annotations: BTreeMap<String, String>,
}

/// What the metrics port shows.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Stats {
    pub(super) enabled: bool,
    pub(super) route_prefix_rewrite: String,
    pub(super) enable_stats_route: bool,
    pub(super) stats_route_prefix_rewrite: String,
}

impl Default for Stats {
    fn default() -> Self {
        Stats {
            enabled: true,
            route_prefix_rewrite: "/stats/prometheus".to_owned(),
            enable_stats_route: true,
            stats_route_prefix_rewrite: "/stats".to_owned(),
        }
    }
}

impl Parameters {
    /// Reads them; `null` gives the defaults.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub(super) fn of(kube: &Value) -> Result<Parameters, String> {
        if kube.is_null() {
            return Ok(Parameters::default());
        }
        serde_path_to_error::deserialize(kube).map_err(|error| {
            format!("GatewayParameters spec.kube.{}: {}; correct it", error.path(), error.inner())
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Parameters;

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = Parameters::of(&json!({"deployment": {"replicas": "two"}})).unwrap_err();
        assert!(
            error.starts_with("GatewayParameters spec.kube.deployment.replicas: invalid type"),
            "{error}"
        );
    }
}
