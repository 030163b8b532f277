//! The certificate that a Gateway shows to backends.

use proto::{ArcStr, Condition, Fault, ResourceKey, literal};

use super::listener::{self, Refusal};
use super::{fault, sentence};
use crate::cx::Cx;
use crate::ir::{ListenerIr, Verdict};
use crate::model::Gateway;

const FIELD: &str = "spec.tls.backend.clientCertificateRef";

/// The Secret with the certificate, and `ResolvedRefs` of the Gateway; neither if it names no certificate. A bad
/// certificate is not replaced by another: backends then see none.
pub(crate) fn resolve(
    key: &ResourceKey,
    gateway: &Gateway,
    listeners: &[ListenerIr],
    cx: &mut Cx<'_>,
    faults: &mut Vec<Fault>,
) -> (Option<ResourceKey>, Vec<Condition>) {
    let Some(certificate) = client_certificate(key, gateway, cx) else { return (None, Vec::new()) };
    let condition = verdict(&certificate, listeners).condition(literal!("ResolvedRefs"));
    let secret = certificate.map_err(|(_, fault)| faults.push(fault)).ok();
    (secret, vec![condition])
}

/// Why no certificate is shown: `ResolvedRefs` reason, and what is wrong.
type Unshown = (ArcStr, Fault);

fn client_certificate(
    key: &ResourceKey,
    gateway: &Gateway,
    cx: &mut Cx<'_>,
) -> Option<Result<ResourceKey, Unshown>> {
    let tls = gateway.spec.tls.as_ref()?;
    let reference = tls.backend.as_ref()?.client_certificate_ref.as_ref()?;
    let namespace = reference.namespace.clone().unwrap_or_else(|| key.namespace.clone());
    let target = key.sibling(reference.kind_or("", "Secret"), namespace, reference.name.clone());
    Some(match listener::certificate(key, &target, cx) {
        Ok(()) => Ok(target),
        Err(Refusal { reason, problem, remedy, .. }) => {
            let permitted = reason != "RefNotPermitted";
            let reason = if permitted { literal!("InvalidClientCertificateRef") } else { reason };
            Err((reason, fault(key, FIELD, problem, remedy)))
        }
    })
}

/// Listeners' references count too.
fn verdict(certificate: &Result<ResourceKey, Unshown>, listeners: &[ListenerIr]) -> Verdict {
    let unresolved: Vec<&str> =
        listeners.iter().filter(|l| !l.resolved.holds).map(|listener| listener.name.as_str()).collect();
    match certificate {
        Err((reason, fault)) => Verdict::no(reason.clone(), sentence(fault)),
        Ok(_) if !unresolved.is_empty() => Verdict::no(
            literal!("ListenersNotResolved"),
            format!("listeners with references that do not resolve: {}", unresolved.join(", ")),
        ),
        Ok(_) => Verdict::yes(literal!("ResolvedRefs"), literal!("all references resolve")),
    }
}
