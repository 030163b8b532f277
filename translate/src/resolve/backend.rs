//! What a Service's port is for a proxy: protocol and TLS, and the names of its clusters.

use std::cmp::Reverse;
use std::sync::Arc;

use proto::{ArcStr, Fault, Name, ResourceKey, literal};

use super::ca::{self, FlawKind};
use super::{fault, policy_target, to_gateways};
use crate::cx::{Cx, Output};
use crate::ir::{BackendIr, BackendKey, ClusterKey, IndexKey, TlsIr, UpstreamProtocol, UpstreamTls, Value};
use crate::model::{BackendTlsPolicy, Service, ServicePort, SubjectAltName, Validation};

/// Begins the name of every cluster of a Service.
const PREFIX: &str = "service/";
/// Stands in the name for any other protocol than HTTP/1.1.
const PROTOCOLS: [(UpstreamProtocol, &str); 3] = [
    (UpstreamProtocol::Http2, "/h2"),
    (UpstreamProtocol::Tcp, "/tcp"),
    (UpstreamProtocol::Passthrough, "/passthrough"),
];

pub(crate) fn compute(key: &BackendKey, cx: &mut Cx<'_>) -> Output {
    Output::of(Value::Backend(Arc::new(backend(key, cx))))
}

fn backend(key: &BackendKey, cx: &mut Cx<'_>) -> BackendIr {
    let service_key = key.service();
    let service = cx.object::<Service>(&service_key);
    let ports = service.iter().flat_map(|service| &service.spec.ports);
    let mut numbered = ports.filter(|port| port.port == key.port);
    let port = numbered.clone().find(|port| port.is_tcp());
    let (Some(service), Some(port)) = (&service, port) else {
        let protocol = if numbered.next().is_some() { " of protocol TCP" } else { "" };
        let message = format!("Service {} has no port {}{protocol}", service_key.namespaced_name(), key.port);
        return BackendIr::Unresolved { reason: literal!("BackendNotFound"), message: message.into() };
    };
    if service.spec.kind == "ExternalName" {
        let message = format!("Service {} is of type ExternalName", service_key.namespaced_name());
        return BackendIr::Unresolved { reason: literal!("UnsupportedValue"), message: message.into() };
    }
    let Ok(protocol) = protocol(port) else {
        let message = format!(
            "Service {}: appProtocol {:?} of port {} is not supported",
            service_key.namespaced_name(),
            port.app_protocol.as_deref().unwrap_or_default(),
            key.port
        );
        return BackendIr::Unresolved { reason: literal!("UnsupportedProtocol"), message: message.into() };
    };
    let policy = policy_of(cx, &service_key, service, &port.name);
    let tls = match &policy {
        Policy::None => UpstreamTls::Plain,
        Policy::Beside => UpstreamTls::Closed,
        Policy::InForce(policy) => {
            tls(cx, policy).map_or(UpstreamTls::Closed, |tls| UpstreamTls::Tls(tls.ir))
        }
    };
    let gateways = to_gateways::of(cx, &service_key, service, &port.name);
    BackendIr::Usable {
        port_name: port.name.clone(),
        protocol,
        says_tls: says_tls(port),
        policy: policy.name(),
        tls,
        gateways,
    }
}

/// What a port's appProtocol says, if anything; an error if it is of Kubernetes and unknown.
fn protocol(port: &ServicePort) -> Result<Option<UpstreamProtocol>, ()> {
    match port.app_protocol.as_deref().unwrap_or_default() {
        "kubernetes.io/h2c" | "h2c" | "http2" | "grpc" => Ok(Some(UpstreamProtocol::Http2)),
        "kubernetes.io/ws" | "kubernetes.io/wss" => Ok(Some(UpstreamProtocol::Http1)),
        other if other.starts_with("kubernetes.io/") => Err(()),
        _ => Ok(None),
    }
}

/// True if a port's appProtocol is one in TLS.
fn says_tls(port: &ServicePort) -> bool {
    matches!(port.app_protocol.as_deref(), Some("kubernetes.io/wss" | "wss" | "https"))
}

/// A cluster is named after what it is, so that editing a rule never renames it.
pub(crate) fn cluster_name(key: &ClusterKey, policy: Option<&Name>) -> ArcStr {
    let BackendKey { namespace, name, port, .. } = &key.backend;
    let mut cluster = format!("{PREFIX}{namespace}/{name}/{port}");
    let protocol = PROTOCOLS.iter().find(|(protocol, _)| *protocol == key.protocol);
    cluster.push_str(protocol.map_or("", |(_, part)| part));
    if let Some(policy) = policy.filter(|_| key.protocol != UpstreamProtocol::Passthrough) {
        cluster.push_str("/tls/");
        cluster.push_str(policy);
    }
    cluster.into()
}

/// What a cluster name was made of.
pub(crate) fn cluster_of(gateway: &ResourceKey, cluster_name: &str) -> Option<ClusterKey> {
    let mut parts = cluster_name.strip_prefix(PREFIX)?.split('/');
    let backend = BackendKey {
        cluster: gateway.cluster.clone(),
        namespace: parts.next()?.into(),
        name: parts.next()?.into(),
        port: parts.next()?.parse().ok()?,
    };
    let part = parts.next().map(|part| format!("/{part}")).unwrap_or_default();
    let known = PROTOCOLS.into_iter().find(|(_, known)| *known == part);
    Some(ClusterKey { backend, protocol: known.map_or(UpstreamProtocol::Http1, |(protocol, _)| protocol) })
}

/// What BackendTLSPolicies want of a Service's port.
enum Policy {
    None,
    /// None is for the port, and one aims at a port of the Service that is not there.
    Beside,
    InForce(ResourceKey),
}

impl Policy {
    fn name(self) -> Option<Name> {
        match self {
            Policy::InForce(policy) => Some(policy.name),
            Policy::None | Policy::Beside => None,
        }
    }
}

/// The TLS policy in force for a port: one that names the port before one for the whole Service, then
/// the oldest, then the first by name (GEP-713).
fn policy_of(cx: &mut Cx<'_>, key: &ResourceKey, service: &Service, port_name: &ArcStr) -> Policy {
    let policies: Vec<_> = cx.members(IndexKey::PoliciesOf(key.clone())).collect();
    let mut best: Option<(Reverse<bool>, ArcStr, &ResourceKey)> = None;
    let mut beside = false;
    for policy_key in policies {
        let Some(policy) = cx.object::<BackendTlsPolicy>(policy_key) else { continue };
        for target in policy.spec.target_refs.iter().filter(|target| target.is_service(&key.name)) {
            beside |= policy_target::is_beside(target, service);
            if target.section_name.as_ref().is_some_and(|section| section != port_name) {
                continue;
            }
            let created = policy.metadata.creation_timestamp.clone();
            let rank = (Reverse(target.section_name.is_some()), created, policy_key);
            if best.as_ref().is_none_or(|best| rank < *best) {
                best = Some(rank);
            }
        }
    }
    match best {
        Some((_, _, policy)) => Policy::InForce(policy.clone()),
        None if beside => Policy::Beside,
        None => Policy::None,
    }
}

/// What a policy gives.
pub(crate) struct Tls {
    pub(crate) ir: TlsIr,
    /// A reference that leads to no CA certificates, beside others that do: `ResolvedRefs` reason, and where and what.
    pub(crate) unresolved: Option<(ArcStr, Fault)>,
}

/// Why a policy gives no TLS: `Accepted` reason, `ResolvedRefs` reason if a reference is to blame, and where and what.
pub(crate) struct TlsProblem {
    pub(crate) accepted: ArcStr,
    pub(crate) unresolved: Option<ArcStr>,
    pub(crate) fault: Fault,
}

/// Resolves the validation of a policy.
pub(crate) fn tls(cx: &mut Cx<'_>, policy_key: &ResourceKey) -> Result<Tls, TlsProblem> {
    let Some(policy) = cx.object::<BackendTlsPolicy>(policy_key) else {
        return Err(no_ca(policy_key, "spec", "the policy does not decode"));
    };
    let validation = &policy.spec.validation;
    let field = "spec.validation.caCertificateRefs";
    if let Some(fault) = misused_trust_store(policy_key, validation) {
        return Err(TlsProblem { accepted: literal!("Invalid"), unresolved: None, fault });
    }
    let authorities = ca::resolve(cx, policy_key, field, &validation.ca_certificate_refs);
    let unresolved = authorities.flaws.into_iter().next().map(|flaw| (unresolved(&flaw.kind), flaw.fault));
    if authorities.valid.is_empty() && !validation.uses_system_certificates() {
        let Some((reason, fault)) = unresolved else {
            return Err(no_ca(policy_key, "spec.validation", "names no CA certificates"));
        };
        return Err(TlsProblem {
            accepted: literal!("NoValidCACertificate"),
            unresolved: Some(reason),
            fault,
        });
    }
    let (mut dns_names, mut uris) = (Vec::new(), Vec::new());
    for name in &validation.subject_alt_names {
        match name {
            SubjectAltName::Hostname { hostname } => dns_names.push(hostname.clone()),
            SubjectAltName::Uri { uri } => uris.push(uri.clone()),
        }
    }
    let ca = (!authorities.valid.is_empty()).then(|| ca::bundle(cx, &authorities.valid).into());
    Ok(Tls { ir: TlsIr { hostname: validation.hostname.clone(), dns_names, uris, ca }, unresolved })
}

/// `ResolvedRefs` reason of a reference without CA certificates (`BackendTLSPolicyValidation.caCertificateRefs`).
fn unresolved(kind: &FlawKind) -> ArcStr {
    match kind {
        FlawKind::Kind => literal!("InvalidKind"),
        FlawKind::Grant => literal!("RefNotPermitted"),
        FlawKind::Content => literal!("InvalidCACertificateRef"),
    }
}

/// What is wrong with the trust store that a policy asks for (`BackendTLSPolicyValidation.wellKnownCACertificates`).
fn misused_trust_store(policy: &ResourceKey, validation: &Validation) -> Option<Fault> {
    let store = validation.trust_store()?;
    let field = "spec.validation.wellKnownCACertificates";
    if store != "System" {
        let problem = format!("{store:?} is no trust store that is known");
        return Some(fault(policy, field, problem, "use System, or caCertificateRefs"));
    }
    let problem = "stands beside caCertificateRefs";
    (!validation.ca_certificate_refs.is_empty())
        .then(|| fault(policy, field, problem, "remove one of the two"))
}

fn no_ca(policy: &ResourceKey, field: &str, problem: &str) -> TlsProblem {
    let fault = fault(policy, field, problem, ca::REMEDY);
    let unresolved = Some(literal!("InvalidCACertificateRef"));
    TlsProblem { accepted: literal!("NoValidCACertificate"), unresolved, fault }
}
