//! Validation of clients' certificates as Envoy has it.

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::CertificateValidationContext;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::certificate_validation_context::TrustChainVerification;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::google::protobuf::BoolValue;

use super::inline;
use crate::graph::ClientValidationIr;

/// With a trusted CA, Envoy asks clients for a certificate in either mode.
pub(super) fn context(validation: &ClientValidationIr) -> ValidationContextType {
    let trust = if validation.insecure_fallback {
        TrustChainVerification::AcceptUntrusted
    } else {
        TrustChainVerification::VerifyTrustChain
    };
    ValidationContextType::ValidationContext(CertificateValidationContext {
        trusted_ca: Some(inline(&validation.ca)),
        trust_chain_verification: trust.into(),
        ..CertificateValidationContext::default()
    })
}

/// Whether a connection without a certificate is refused.
pub(super) fn required(validation: &ClientValidationIr) -> BoolValue {
    BoolValue { value: !validation.insecure_fallback }
}
