//! BackendTLSPolicy: TLS from the gateway to a Service.

use proto::ArcStr;
use serde::Deserialize;

use super::{Meta, Reference};

/// <https://gateway-api.sigs.k8s.io/api-types/backendtlspolicy/>
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct BackendTlsPolicy {
    #[serde(default)]
    pub(crate) metadata: Meta,
    pub(crate) spec: Spec,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    pub(crate) target_refs: Vec<TargetRef>,
    pub(crate) validation: Validation,
    /// Implementation-specific; none is known yet.
    #[serde(default)]
    #[allow(dead_code)]
    pub(crate) options: std::collections::BTreeMap<ArcStr, ArcStr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TargetRef {
    #[serde(default)]
    pub(crate) group: ArcStr,
    pub(crate) kind: ArcStr,
    pub(crate) name: ArcStr,
    /// Name of a port of the Service.
    pub(crate) section_name: Option<ArcStr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Validation {
    #[serde(default, rename = "caCertificateRefs")]
    pub(crate) ca_certificate_refs: Vec<Reference>,
    #[serde(rename = "wellKnownCACertificates")]
    well_known: Option<ArcStr>,
    pub(crate) hostname: ArcStr,
    #[serde(default)]
    pub(crate) subject_alt_names: Vec<SubjectAltName>,
}

impl TargetRef {
    /// True if it aims at the Service of this name, or at a port of it.
    pub(crate) fn is_service(&self, name: &str) -> bool {
        self.group.is_empty() && self.kind == "Service" && self.name == name
    }
}

impl Validation {
    /// True if the proxy's own trust store is to be used.
    pub(crate) fn uses_system_certificates(&self) -> bool {
        self.trust_store() == Some("System")
    }

    /// The trust store that is asked for; an empty name is none.
    pub(crate) fn trust_store(&self) -> Option<&str> {
        self.well_known.as_deref().filter(|store| !store.is_empty())
    }
}

/// A name that the backend's certificate must have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum SubjectAltName {
    /// A DNS name.
    Hostname { hostname: ArcStr },
    /// A URI, such as a SPIFFE id.
    #[serde(rename = "URI")]
    Uri { uri: ArcStr },
}
