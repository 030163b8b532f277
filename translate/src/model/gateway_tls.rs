//! `spec.tls` of a Gateway: its certificate towards backends, and validation of clients' certificates.

use serde::Deserialize;

use super::Reference;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct GatewayTls {
    pub(crate) backend: Option<BackendTls>,
    pub(crate) frontend: Option<FrontendTls>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackendTls {
    /// Shown to backends that TLS is spoken to.
    pub(crate) client_certificate_ref: Option<Reference>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FrontendTls {
    default: FrontendConfig,
    #[serde(default)]
    per_port: Vec<PortConfig>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct FrontendConfig {
    /// None: clients are not asked for a certificate.
    validation: Option<ClientValidation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct PortConfig {
    port: u16,
    tls: FrontendConfig,
}

/// `FrontendTLSValidation`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientValidation {
    pub(crate) ca_certificate_refs: Vec<Reference>,
    #[serde(default)]
    pub(crate) mode: ValidationMode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum ValidationMode {
    /// No connection without a valid certificate.
    #[default]
    AllowValidOnly,
    /// Any certificate will do, and none too.
    AllowInsecureFallback,
}

/// Which of the configurations: none for the default, else a place in `perPort`.
pub(crate) type Place = Option<usize>;

impl FrontendTls {
    /// The configuration that holds for HTTPS listeners of a port.
    pub(crate) fn place_of(&self, port: u16) -> Place {
        self.per_port.iter().position(|config| config.port == port)
    }

    /// The validation of a place.
    pub(crate) fn validation(&self, place: Place) -> Option<&ClientValidation> {
        match place {
            None => self.default.validation.as_ref(),
            Some(index) => self.per_port.get(index)?.tls.validation.as_ref(),
        }
    }

    /// All places with a validation.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Place, &ClientValidation)> {
        let all = std::iter::once(None).chain((0..self.per_port.len()).map(Some));
        all.filter_map(|place| Some((place, self.validation(place)?)))
    }

    /// Path of a place's validation in the Gateway.
    pub(crate) fn field(place: Place) -> String {
        match place {
            None => "spec.tls.frontend.default.validation".to_owned(),
            Some(index) => format!("spec.tls.frontend.perPort[{index}].tls.validation"),
        }
    }
}
