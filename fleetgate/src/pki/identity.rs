//! The Gateway that a certificate speaks for, as a SPIFFE ID (<https://spiffe.io/docs/latest/spiffe-about/>).

use proto::{Kind, ResourceKey};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

const PREFIX: &str = "spiffe://fleetgate.dev/gateway/";

/// The identity of a replica of the control plane.
pub(super) const REPLICA_ID: &str = "spiffe://fleetgate.dev/replica";
/// The name by which replicas verify each other, whatever their addresses are.
pub(super) const REPLICA_NAME: &str = "replica.fleetgate.dev";

/// True of a certificate of a replica, which has been verified already.
pub(super) fn is_replica(der: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    names.iter().any(|name| matches!(name, GeneralName::URI(REPLICA_ID)))
}

/// The identity of a Gateway's proxies.
pub(super) fn spiffe_id(gateway: &ResourceKey) -> String {
    format!("{PREFIX}{}", gateway.namespaced_name())
}

/// The Gateway of a certificate that has been verified already.
///
/// # Errors
/// A sentence for the proxy's log, if the certificate is for something else.
pub(crate) fn gateway_of(certificate: Option<&[u8]>) -> Result<ResourceKey, String> {
    const REMEDY: &str = "give the proxy the certificate of its Gateway";
    let der = certificate.ok_or_else(|| format!("the connection has no client certificate: {REMEDY}"))?;
    let wrong = || format!("the client certificate names no Gateway: {REMEDY}");
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| wrong())?;
    let names = certificate.subject_alternative_name().ok().flatten().ok_or_else(wrong)?;
    let ids = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(PREFIX)?.split_once('/'),
        _ => None,
    });
    match ids.collect::<Vec<_>>()[..] {
        [(namespace, name)] if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(ResourceKey::local(Kind::GATEWAY, namespace, name))
        }
        _ => Err(wrong()),
    }
}
