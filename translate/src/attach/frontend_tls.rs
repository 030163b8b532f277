//! Validation of clients' certificates by a Gateway's HTTPS listeners.

use std::collections::BTreeMap;

use proto::{ArcStr, Condition, Fault, ResourceKey, literal};

use super::ca::{self, Authorities, FlawKind};
use super::{fault, sentence};
use crate::cx::Cx;
use crate::ir::{ClientValidationIr, ListenerIr, Scheme, Verdict};
use crate::model::{ClientValidation, FrontendTls, Gateway, Place, ValidationMode};

/// What became of one validation.
struct Resolved {
    /// None: there are no CA certificates to validate with.
    validation: Option<ClientValidationIr>,
    /// A `ResolvedRefs` verdict, if some reference is wrong.
    problem: Option<Verdict>,
}

/// Gives each HTTPS listener the validation of its port, wherever the listener comes from. One whose CA
/// certificates are all missing does not serve: it could not tell friend from foe.
pub(crate) fn validate_clients(
    key: &ResourceKey,
    gateway: &Gateway,
    listeners: &mut [ListenerIr],
    cx: &mut Cx<'_>,
    faults: &mut Vec<Fault>,
) {
    let Some(frontend) = frontend(gateway) else { return };
    let mut by_place: BTreeMap<Place, Resolved> = BTreeMap::new();
    for listener in listeners.iter_mut().filter(|listener| listener.scheme == Some(Scheme::Https)) {
        let place = frontend.place_of(listener.port);
        let Some(validation) = frontend.validation(place) else { continue };
        let resolved = by_place
            .entry(place)
            .or_insert_with(|| resolve(key, &FrontendTls::field(place), validation, cx, faults));
        apply(resolved, listener);
    }
}

fn frontend(gateway: &Gateway) -> Option<&FrontendTls> {
    gateway.spec.tls.as_ref()?.frontend.as_ref()
}

fn apply(resolved: &Resolved, listener: &mut ListenerIr) {
    listener.client_validation = resolved.validation.clone();
    let Some(problem) = &resolved.problem else { return };
    if listener.resolved.holds {
        listener.resolved = problem.clone();
    }
    if resolved.validation.is_none() && listener.accepted.holds {
        listener.accepted = Verdict::no(literal!("NoValidCACertificate"), problem.message.clone());
    }
}

fn resolve(
    key: &ResourceKey,
    field: &str,
    validation: &ClientValidation,
    cx: &mut Cx<'_>,
    faults: &mut Vec<Fault>,
) -> Resolved {
    let field = format!("{field}.caCertificateRefs");
    let Authorities { valid, flaws } = ca::resolve(cx, key, &field, &validation.ca_certificate_refs);
    let mut problem = flaws.first().map(|flaw| Verdict::no(reason(&flaw.kind), sentence(&flaw.fault)));
    faults.extend(flaws.into_iter().map(|flaw| flaw.fault));
    if validation.ca_certificate_refs.is_empty() {
        let fault = fault(key, field, "is empty", ca::REMEDY);
        problem = Some(Verdict::no(reason(&FlawKind::Content), sentence(&fault)));
        faults.push(fault);
    }
    let insecure_fallback = validation.mode == ValidationMode::AllowInsecureFallback;
    let validation =
        (!valid.is_empty()).then_some(ClientValidationIr { authorities: valid, insecure_fallback });
    Resolved { validation, problem }
}

fn reason(kind: &FlawKind) -> ArcStr {
    match kind {
        FlawKind::Kind => literal!("InvalidCACertificateKind"),
        FlawKind::Grant => literal!("RefNotPermitted"),
        FlawKind::Content => literal!("InvalidCACertificateRef"),
    }
}

/// A warning while clients without a valid certificate are let in somewhere.
pub(crate) fn insecure(gateway: &Gateway) -> Option<Condition> {
    let frontend = frontend(gateway)?;
    let fields: Vec<String> = frontend
        .places()
        .filter(|(_, validation)| validation.mode == ValidationMode::AllowInsecureFallback)
        .map(|(place, _)| format!("{}.mode", FrontendTls::field(place)))
        .collect();
    let message = format!(
        "{}: AllowInsecureFallback lets clients in without a valid certificate; use AllowValidOnly unless that is wanted",
        fields.join(", ")
    );
    let kind = literal!("InsecureFrontendValidationMode");
    let reason = literal!("ConfigurationChanged");
    (!fields.is_empty()).then(|| Condition::new(kind, true, reason, message))
}
