//! Validation of clients' certificates as Envoy has it.

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::CertificateValidationContext;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::certificate_validation_context::TrustChainVerification;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::google::protobuf::BoolValue;

use super::inline;
use crate::cx::Cx;
use crate::ir::ClientValidationIr;
use crate::resolve::ca;

/// What a filter chain needs to validate clients.
#[derive(Clone)]
pub(crate) struct Validation {
    pub(crate) context: ValidationContextType,
    /// Whether a connection without a certificate is refused.
    pub(crate) required: BoolValue,
}

/// With a trusted CA, Envoy asks clients for a certificate in either mode.
pub(crate) fn validation(ir: &ClientValidationIr, cx: &mut Cx<'_>) -> Validation {
    let trust = if ir.insecure_fallback {
        TrustChainVerification::AcceptUntrusted
    } else {
        TrustChainVerification::VerifyTrustChain
    };
    let context = ValidationContextType::ValidationContext(CertificateValidationContext {
        trusted_ca: Some(inline(&ca::bundle(cx, &ir.authorities))),
        trust_chain_verification: trust.into(),
        ..CertificateValidationContext::default()
    });
    Validation { context, required: BoolValue { value: !ir.insecure_fallback } }
}
