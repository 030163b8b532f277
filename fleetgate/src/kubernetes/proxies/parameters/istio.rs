//! The proxies as part of an Istio mesh: who fetches its certificates, and who hands them to Envoy.

use k8s_openapi::api::core::v1::{ResourceRequirements, SecurityContext};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Image;

/// `spec.kube.istio`. Its presence says that the proxies are part of the mesh: k8sgateway has a setting of the whole
/// installation for it, which is not there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Istio {
    /// Istio's own agent.
    pub(crate) istio_proxy_container: Option<IstioProxyContainer>,
    /// Containers in the agent's place, as in a pod's `spec`.
    pub(crate) custom_sidecars: Vec<Map<String, Value>>,
}

impl Istio {
    /// The proxies are part of a mesh.
    pub(crate) fn is_on(&self) -> bool {
        self.istio_proxy_container.is_some() || !self.custom_sidecars.is_empty()
    }
}

/// `spec.kube.istio.istioProxyContainer`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct IstioProxyContainer {
    pub(crate) image: Image,
    pub(crate) security_context: Option<SecurityContext>,
    pub(crate) resources: Option<ResourceRequirements>,
    pub(crate) log_level: Option<String>,
    /// `HOST:PORT`
    pub(crate) istio_discovery_address: Option<String>,
    pub(crate) istio_meta_mesh_id: Option<String>,
    pub(crate) istio_meta_cluster_id: Option<String>,
}

/// `spec.kube.sdsContainer`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SdsContainer {
    pub(crate) image: Image,
    pub(crate) security_context: Option<SecurityContext>,
    pub(crate) resources: Option<ResourceRequirements>,
    pub(crate) bootstrap: SdsBootstrap,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SdsBootstrap {
    pub(crate) log_level: Option<String>,
}
