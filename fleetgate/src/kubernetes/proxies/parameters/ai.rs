//! The extension that k8sgateway's enterprise edition has for requests to language models.

use k8s_openapi::api::core::v1::{ContainerPort, EnvVar, ResourceRequirements, SecurityContext};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Image;

/// `spec.kube.aiExtension`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AiExtension {
    pub(crate) enabled: bool,
    /// The user's: there is no default.
    pub(crate) image: Image,
    pub(crate) security_context: Option<SecurityContext>,
    pub(crate) resources: Option<ResourceRequirements>,
    pub(crate) env: Vec<EnvVar>,
    pub(crate) ports: Vec<ContainerPort>,
    /// Read by the extension, as it is.
    pub(crate) stats: Option<Map<String, Value>>,
}
