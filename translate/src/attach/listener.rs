//! One listener of a Gateway: what it is able to do.

use proto::{ArcStr, Fault, Kind, ResourceKey, literal};

use super::{fault, grant, listener_filters, sentence};
use crate::cx::Cx;
use crate::hostname;
use crate::ir::{ListenerIr, Scheme, Verdict};
use crate::model::{KeyState, Listener, Secret};

/// Kinds of routes that a listener takes.
fn routes(scheme: Scheme) -> Vec<Kind> {
    match scheme {
        Scheme::Http | Scheme::Https => vec![Kind::HTTP_ROUTE, Kind::GRPC_ROUTE],
        Scheme::Tls => vec![Kind::TLS_ROUTE],
        Scheme::Tcp => vec![Kind::TCP_ROUTE],
    }
}

/// Resolves a listener of a Gateway or ListenerSet by itself; conflicts with others come later.
pub(crate) fn resolve(
    owner: &ResourceKey,
    index: usize,
    listener: &Listener,
    cx: &mut Cx<'_>,
    faults: &mut Vec<Fault>,
) -> ListenerIr {
    let field = format!("spec.listeners[{index}]");
    let scheme = match listener.protocol.as_str() {
        "HTTP" => Some(Scheme::Http),
        "HTTPS" => Some(Scheme::Https),
        "TLS" => Some(Scheme::Tls),
        "TCP" => Some(Scheme::Tcp),
        _ => None,
    };
    let mut ir = ListenerIr {
        owner: owner.clone(),
        name: listener.name.clone(),
        port: listener.port,
        scheme,
        hostname: listener.hostname.clone().filter(|name| !name.is_empty()).unwrap_or(hostname::ANY),
        allowed: listener.allowed_routes.clone(),
        supported_kinds: Vec::new(),
        table: None,
        certificates: Vec::new(),
        keyless: false,
        passthrough: scheme == Some(Scheme::Tls)
            && listener.tls.as_ref().and_then(|tls| tls.mode.as_deref()) == Some("Passthrough"),
        client_validation: None,
        filters: Vec::new(),
        accepted: Verdict::yes(literal!("Accepted"), literal!("the listener is accepted")),
        resolved: Verdict::yes(literal!("ResolvedRefs"), literal!("all references resolve")),
        conflicted: Verdict::no(literal!("NoConflicts"), literal!("no other listener is in its way")),
        overlapping: None,
    };
    match scheme {
        None => refuse_protocol(owner, &field, listener, &mut ir, faults),
        Some(scheme) => {
            resolve_kinds(owner, &field, listener, &routes(scheme), &mut ir, faults);
            check_hostname(owner, &field, &mut ir, faults);
            if scheme.is_tls() && !ir.passthrough {
                resolve_certificates(owner, &field, listener, cx, &mut ir, faults);
            }
            listener_filters::resolve(owner, &field, listener, cx, &mut ir, faults);
        }
    }
    ir
}

fn refuse_protocol(
    owner: &ResourceKey,
    field: &str,
    listener: &Listener,
    ir: &mut ListenerIr,
    faults: &mut Vec<Fault>,
) {
    let problem = format!("protocol {} is not supported", listener.protocol);
    let fault = fault(owner, format!("{field}.protocol"), problem, "use HTTP, HTTPS, TLS or TCP");
    ir.accepted = Verdict::no(literal!("UnsupportedProtocol"), sentence(&fault));
    faults.push(fault);
}

fn resolve_kinds(
    owner: &ResourceKey,
    field: &str,
    listener: &Listener,
    supported: &[Kind],
    ir: &mut ListenerIr,
    faults: &mut Vec<Fault>,
) {
    let Some(kinds) = listener.allowed_routes.kinds.as_ref().filter(|kinds| !kinds.is_empty()) else {
        ir.supported_kinds = supported.to_vec();
        return;
    };
    for (index, kind) in kinds.iter().enumerate() {
        let group = kind.group.as_deref().unwrap_or("gateway.networking.k8s.io");
        let wanted = Kind::new(group, &kind.kind);
        if supported.contains(&wanted) {
            if !ir.supported_kinds.contains(&wanted) {
                ir.supported_kinds.push(wanted);
            }
        } else {
            let fault = fault(
                owner,
                format!("{field}.allowedRoutes.kinds[{index}]"),
                format!(
                    "routes of kind {} cannot attach to a listener of protocol {}",
                    kind.kind, listener.protocol
                ),
                format!("use {}", supported.iter().map(Kind::kind).collect::<Vec<_>>().join(" or ")),
            );
            ir.resolved = Verdict::no(literal!("InvalidRouteKinds"), sentence(&fault));
            faults.push(fault);
        }
    }
}

fn check_hostname(owner: &ResourceKey, field: &str, ir: &mut ListenerIr, faults: &mut Vec<Fault>) {
    if ir.hostname == hostname::ANY {
        return;
    }
    if ir.scheme == Some(Scheme::Tcp) {
        let problem = "a listener of protocol TCP does not learn of hostnames";
        let fault = fault(owner, format!("{field}.hostname"), problem, "remove it");
        ir.accepted = Verdict::no(literal!("UnsupportedValue"), sentence(&fault));
        faults.push(fault);
        return;
    }
    if let Some(problem) = hostname::problem(&ir.hostname) {
        let fault = fault(
            owner,
            format!("{field}.hostname"),
            format!("{:?} {problem}", ir.hostname),
            "use a DNS name, if wanted with *. in front",
        );
        ir.accepted = Verdict::no(literal!("UnsupportedValue"), sentence(&fault));
        faults.push(fault);
    }
}

fn resolve_certificates(
    owner: &ResourceKey,
    field: &str,
    listener: &Listener,
    cx: &mut Cx<'_>,
    ir: &mut ListenerIr,
    faults: &mut Vec<Fault>,
) {
    let Some(tls) = &listener.tls else {
        let fault = fault(
            owner,
            format!("{field}.tls"),
            format!("a listener of protocol {} needs a certificate", listener.protocol),
            "set tls.certificateRefs",
        );
        ir.resolved = Verdict::no(literal!("InvalidCertificateRef"), sentence(&fault));
        faults.push(fault);
        return;
    };
    if tls.mode.as_deref().is_some_and(|mode| mode != "Terminate") {
        let fault = fault(
            owner,
            format!("{field}.tls.mode"),
            format!("a listener of protocol {} cannot do that to TLS", listener.protocol),
            "use mode Terminate, or protocol TLS to pass it through",
        );
        ir.accepted = Verdict::no(literal!("UnsupportedValue"), sentence(&fault));
        faults.push(fault);
        return;
    }
    if tls.certificate_refs.is_empty() {
        let fault = fault(
            owner,
            format!("{field}.tls.certificateRefs"),
            "is empty",
            "name a Secret of type kubernetes.io/tls",
        );
        ir.resolved = Verdict::no(literal!("InvalidCertificateRef"), sentence(&fault));
        faults.push(fault);
    }
    let mut unread = Vec::new();
    for (index, reference) in tls.certificate_refs.iter().enumerate() {
        let field = format!("{field}.tls.certificateRefs[{index}]");
        let namespace = reference.namespace.clone().unwrap_or_else(|| owner.namespace.clone());
        let target = owner.sibling(reference.kind_or("", "Secret"), namespace, reference.name.clone());
        match certificate(owner, &target, cx) {
            Ok(()) => ir.certificates.push(target),
            Err(refusal) => {
                let fault = fault(owner, field, refusal.problem, refusal.remedy);
                ir.resolved = Verdict::no(refusal.reason, sentence(&fault));
                faults.push(fault);
                unread.extend(refusal.unread.then_some(target));
            }
        }
    }
    // A proxy that has one of these serves on; one without would not serve with any that stand beside it.
    if ir.certificates.is_empty() {
        ir.keyless = !unread.is_empty();
        ir.certificates = unread;
    }
}

/// Why a certificate is not served with.
pub(crate) struct Refusal {
    /// `ResolvedRefs` reason.
    pub(crate) reason: ArcStr,
    pub(crate) problem: String,
    pub(crate) remedy: &'static str,
    /// True if it was good, and cannot be read any more.
    pub(crate) unread: bool,
}

/// Checks one certificate; the grant comes before existence, so that nothing is told about other
/// namespaces' Secrets.
pub(crate) fn certificate(owner: &ResourceKey, target: &ResourceKey, cx: &mut Cx<'_>) -> Result<(), Refusal> {
    let refusal = |reason, problem, remedy| Refusal { reason, problem, remedy, unread: false };
    let invalid = literal!("InvalidCertificateRef");
    if target.kind != Kind::SECRET {
        let problem = format!("{} cannot hold a certificate", target.kind);
        return Err(refusal(invalid, problem, "refer to a Secret of type kubernetes.io/tls"));
    }
    if !grant::permits(cx, owner, target) {
        let problem = format!("no ReferenceGrant in namespace {} allows it", target.namespace);
        return Err(refusal(
            literal!("RefNotPermitted"),
            problem,
            "add a ReferenceGrant from this kind and namespace to kind Secret there",
        ));
    }
    let Some(secret) = cx.object::<Secret>(target) else {
        let problem = format!("Secret {} does not exist", target.namespaced_name());
        return Err(refusal(invalid, problem, "create it, of type kubernetes.io/tls"));
    };
    let name = target.namespaced_name();
    let problem = match secret.private_key.state {
        KeyState::Valid => return Ok(()),
        KeyState::Missing => format!("Secret {name} lacks tls.crt or tls.key"),
        KeyState::Malformed => {
            format!("Secret {name} is not a PEM certificate and key: {}", secret.private_key.message)
        }
        KeyState::Mismatch => format!("in Secret {name} {}", secret.private_key.message),
        KeyState::Unread => {
            let problem = format!("Secret {name}: {}", secret.private_key.message);
            let remedy = "mend the file, or see why it cannot be read";
            return Err(Refusal { unread: true, ..refusal(invalid, problem, remedy) });
        }
    };
    let remedy = "put a PEM certificate chain into tls.crt and its key into tls.key";
    Err(refusal(invalid, problem, remedy))
}
