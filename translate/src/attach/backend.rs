//! What a Service's port is for a proxy: protocol, TLS, and the name of its cluster.

use std::cmp::Reverse;
use std::sync::Arc;

use base64::Engine as _;
use proto::{ArcStr, Kind, ResourceKey, literal};

use crate::engine::{Cx, Output};
use crate::graph::{BackendIr, BackendKey, IndexKey, TlsIr, UpstreamProtocol, Value};
use crate::model::{BackendTlsPolicy, ConfigMap, Secret, Service, ServicePort, SubjectAltName};

/// Begins the name of every cluster of a Service.
const PREFIX: &str = "service/";

pub(crate) fn compute(key: &BackendKey, cx: &mut Cx<'_>) -> Output {
    Output::of(Value::Backend(Arc::new(backend(key, cx))))
}

fn backend(key: &BackendKey, cx: &mut Cx<'_>) -> BackendIr {
    let service_key = key.service();
    let service = cx.object::<Service>(&service_key);
    let port = service.as_ref().and_then(|s| s.spec.ports.iter().find(|port| port.port == key.port));
    let (Some(service), Some(port)) = (&service, port) else {
        let message = format!("Service {} has no port {}", service_key.namespaced_name(), key.port);
        return BackendIr::Unresolved { reason: literal!("BackendNotFound"), message: message.into() };
    };
    if service.spec.kind == "ExternalName" {
        let message = format!("Service {} is of type ExternalName", service_key.namespaced_name());
        return BackendIr::Unresolved { reason: literal!("UnsupportedValue"), message: message.into() };
    }
    let Some(protocol) = protocol(port) else {
        let message = format!(
            "Service {}: appProtocol {:?} of port {} is not supported",
            service_key.namespaced_name(),
            port.app_protocol.as_deref().unwrap_or_default(),
            key.port
        );
        return BackendIr::Unresolved { reason: literal!("UnsupportedProtocol"), message: message.into() };
    };
    let policy = policy_of(cx, &service_key, &port.name);
    let tls = match &policy {
        None => None,
        Some(policy) => match tls(cx, policy) {
            Ok(tls) => Some(tls),
            Err(_) => return BackendIr::Closed,
        },
    };
    BackendIr::Usable {
        cluster_name: cluster_name(key, protocol, policy.as_ref()),
        port_name: port.name.clone(),
        protocol,
        tls,
    }
}

fn protocol(port: &ServicePort) -> Option<UpstreamProtocol> {
    match port.app_protocol.as_deref().unwrap_or_default() {
        "kubernetes.io/h2c" | "h2c" | "http2" | "grpc" => Some(UpstreamProtocol::Http2),
        "kubernetes.io/ws" | "kubernetes.io/wss" => Some(UpstreamProtocol::Http1),
        other if other.starts_with("kubernetes.io/") => None,
        _ => Some(UpstreamProtocol::Http1),
    }
}

/// A cluster is named after what it is, so that editing a rule never renames it.
fn cluster_name(key: &BackendKey, protocol: UpstreamProtocol, policy: Option<&ResourceKey>) -> ArcStr {
    let mut name = format!("{PREFIX}{}/{}/{}", key.namespace, key.name, key.port);
    if protocol == UpstreamProtocol::Http2 {
        name.push_str("/h2");
    }
    if let Some(policy) = policy {
        name.push_str("/tls/");
        name.push_str(&policy.name);
    }
    name.into()
}

/// The backend that a cluster name was made of.
pub(crate) fn backend_of(gateway: &ResourceKey, cluster_name: &str) -> Option<BackendKey> {
    let mut parts = cluster_name.strip_prefix(PREFIX)?.split('/');
    Some(BackendKey {
        cluster: gateway.cluster.clone(),
        namespace: parts.next()?.into(),
        name: parts.next()?.into(),
        port: parts.next()?.parse().ok()?,
    })
}

/// The TLS policy in force for a port: one that names the port before one for the whole Service, then
/// the oldest, then the first by name (GEP-713).
pub(super) fn policy_of(cx: &mut Cx<'_>, service: &ResourceKey, port_name: &ArcStr) -> Option<ResourceKey> {
    let policies: Vec<_> = cx.members(IndexKey::PoliciesOf(service.clone())).collect();
    let mut best: Option<(Reverse<bool>, ArcStr, &ResourceKey)> = None;
    for key in policies {
        let Some(policy) = cx.object::<BackendTlsPolicy>(key) else { continue };
        for target in &policy.spec.target_refs {
            let applies = target.name == service.name
                && target.section_name.as_ref().is_none_or(|section| section == port_name);
            if applies {
                let rank =
                    (Reverse(target.section_name.is_some()), policy.metadata.creation_timestamp.clone(), key);
                if best.as_ref().is_none_or(|best| rank < *best) {
                    best = Some(rank);
                }
            }
        }
    }
    best.map(|(_, _, key)| key.clone())
}

/// Why a policy gives no TLS: `ResolvedRefs` reason (none if all references resolve), field and sentence.
pub(super) struct TlsProblem {
    pub(super) reason: ArcStr,
    pub(super) field: String,
    pub(super) problem: String,
    pub(super) remedy: String,
}

/// Resolves the validation of a policy.
pub(super) fn tls(cx: &mut Cx<'_>, policy_key: &ResourceKey) -> Result<TlsIr, TlsProblem> {
    let Some(policy) = cx.object::<BackendTlsPolicy>(policy_key) else {
        return Err(no_ca("spec", "the policy does not decode".to_owned()));
    };
    let validation = &policy.spec.validation;
    let mut ca = String::new();
    let mut last_problem = None;
    for (index, reference) in validation.ca_certificate_refs.iter().enumerate() {
        let field = format!("spec.validation.caCertificateRefs[{index}]");
        let kind = reference.kind_or("", "ConfigMap");
        match ca_certificates(cx, policy_key, &kind, &reference.name, &field) {
            Ok(pem) => {
                ca.push_str(&pem);
                ca.push('\n');
            }
            Err(problem) => last_problem = Some(problem),
        }
    }
    let system = validation.uses_system_certificates();
    if ca.is_empty() && !system {
        let problem = || no_ca("spec.validation", "names no CA certificates".to_owned());
        return Err(last_problem.unwrap_or_else(problem));
    }
    let (mut dns_names, mut uris) = (Vec::new(), Vec::new());
    for name in &validation.subject_alt_names {
        match name {
            SubjectAltName::Hostname { hostname } => dns_names.push(hostname.clone()),
            SubjectAltName::Uri { uri } => uris.push(uri.clone()),
        }
    }
    let ca = (!ca.is_empty()).then(|| ca.into());
    Ok(TlsIr { hostname: validation.hostname.clone(), dns_names, uris, ca })
}

fn no_ca(field: &str, problem: String) -> TlsProblem {
    TlsProblem {
        reason: literal!("InvalidCACertificateRef"),
        field: field.to_owned(),
        problem,
        remedy: "refer to a ConfigMap with a PEM bundle under ca.crt".to_owned(),
    }
}

fn ca_certificates(
    cx: &mut Cx<'_>,
    policy: &ResourceKey,
    kind: &Kind,
    name: &ArcStr,
    field: &str,
) -> Result<String, TlsProblem> {
    let pem = if *kind == Kind::CONFIG_MAP {
        cx.sibling::<ConfigMap>(policy, &policy.namespace, name)
            .map(|map| map.data.get("ca.crt").map(ToString::to_string))
    } else if *kind == Kind::SECRET {
        cx.sibling::<Secret>(policy, &policy.namespace, name).map(|secret| decode(secret.data.get("ca.crt")))
    } else {
        return Err(TlsProblem {
            reason: literal!("InvalidKind"),
            field: format!("{field}.kind"),
            problem: format!("{} cannot hold CA certificates", kind.kind()),
            remedy: "refer to a ConfigMap".to_owned(),
        });
    };
    match pem {
        None => Err(no_ca(field, format!("{} {}/{name} does not exist", kind.kind(), policy.namespace))),
        Some(pem) => pem.filter(|pem| pem.contains("-----BEGIN CERTIFICATE-----")).ok_or_else(|| {
            no_ca(
                field,
                format!("{} {}/{name} has no PEM certificate under ca.crt", kind.kind(), policy.namespace),
            )
        }),
    }
}

/// A value of a Secret's data.
fn decode(value: Option<&ArcStr>) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value?.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}
