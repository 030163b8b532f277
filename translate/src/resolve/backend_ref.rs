//! Where a reference to a backend leads, whoever refers to it.

use std::collections::BTreeSet;

use proto::{ArcStr, Kind, ResourceKey, literal};

use super::{backend, grant};
use crate::cx::Cx;
use crate::ir::{BackendIr, BackendKey, ClusterKey, NodeKey, UpstreamProtocol, UpstreamTls, Value};
use crate::model::Reference;

/// What the backend of a reference is spoken to in.
#[derive(Clone, Copy)]
pub(crate) enum Speak {
    /// What its Service says, by default HTTP/1.1.
    Http,
    /// HTTP/2.
    Grpc,
    /// This, whatever its Service says.
    Raw(UpstreamProtocol),
}

/// Why a reference does not resolve.
pub(crate) struct Unresolved {
    /// `ResolvedRefs` reason of a route.
    pub(crate) reason: ArcStr,
    pub(crate) field: String,
    pub(crate) problem: String,
    pub(crate) remedy: String,
}

/// Where a reference leads.
pub(crate) struct Target {
    /// What it names, if it can name a backend.
    pub(crate) cluster: Option<ClusterKey>,
    /// The cluster's name; none if the backend is there and must not be asked.
    pub(crate) usable: Result<Option<ArcStr>, Unresolved>,
    /// Gateways that it leads to.
    pub(crate) gateways: BTreeSet<ResourceKey>,
}

/// Follows a reference of `owner`, which stands in `field`.
pub(crate) fn resolve(
    cx: &mut Cx<'_>,
    owner: &ResourceKey,
    reference: &Reference,
    field: &str,
    speak: Speak,
) -> Target {
    let nowhere = |reason, field: String, problem: String, remedy: String| Target {
        cluster: None,
        usable: Err(Unresolved { reason, field, problem, remedy }),
        gateways: BTreeSet::new(),
    };
    let kind = reference.kind_or("", "Service");
    if kind != Kind::SERVICE {
        let problem = format!("{kind} is not a kind of backend");
        return nowhere(
            literal!("InvalidKind"),
            format!("{field}.kind"),
            problem,
            "refer to a Service".to_owned(),
        );
    }
    let namespace = reference.namespace.clone().unwrap_or_else(|| owner.namespace.clone());
    let target = owner.sibling(kind, namespace, reference.name.clone());
    if !grant::permits(cx, owner, &target) {
        let problem = format!("no ReferenceGrant in namespace {} allows it", target.namespace);
        let from = owner.kind.kind();
        let remedy = format!("add a ReferenceGrant from kind {from} of this namespace to kind Service there");
        return nowhere(literal!("RefNotPermitted"), field.to_owned(), problem, remedy);
    }
    let Some(port) = reference.port else {
        let problem = "a Service needs a port".to_owned();
        return nowhere(
            literal!("BackendNotFound"),
            format!("{field}.port"),
            problem,
            "set the port".to_owned(),
        );
    };
    let backend =
        BackendKey { cluster: target.cluster, namespace: target.namespace, name: target.name, port };
    let node = cx.node(NodeKey::Backend(backend.clone()));
    let (said, gateways) = match node {
        Some(Value::Backend(ir)) => (ir.protocol(), ir.gateways().cloned().collect()),
        _ => (None, BTreeSet::new()),
    };
    let protocol = match speak {
        Speak::Raw(protocol) => protocol,
        Speak::Grpc => said.unwrap_or(UpstreamProtocol::Http2),
        Speak::Http => said.unwrap_or(UpstreamProtocol::Http1),
    };
    let cluster = ClusterKey { backend, protocol };
    let no_grpc = matches!(speak, Speak::Grpc) && said == Some(UpstreamProtocol::Http1);
    // A TCPRoute's clients may speak TLS themselves.
    let is_ours = cluster.protocol != UpstreamProtocol::Passthrough && owner.kind != Kind::TCP_ROUTE;
    let usable = match node {
        Some(Value::Backend(ir)) if is_ours && lacks_tls(ir) => {
            let remedy = "create a BackendTLSPolicy for the Service, or correct its appProtocol".to_owned();
            let (name, port) = (cluster.backend.service().namespaced_name(), cluster.backend.port);
            let problem =
                format!("Service {name} has port {port} speak TLS, and no BackendTLSPolicy is for it");
            let (reason, field) = (literal!("UnsupportedProtocol"), field.to_owned());
            Err(Unresolved { reason, field, problem, remedy })
        }
        Some(Value::Backend(ir)) => {
            usable(&ir.clone(), &cluster, no_grpc).map_err(|flaw| unresolved(field, flaw))
        }
        _ => Err(unresolved(field, missing(cx, &cluster.backend))),
    };
    Target { cluster: Some(cluster), usable, gateways }
}

fn unresolved(field: &str, (reason, problem): (ArcStr, String)) -> Unresolved {
    let remedy = "create the Service or correct the reference".to_owned();
    Unresolved { reason, field: field.to_owned(), problem, remedy }
}

/// True if a backend says that it speaks TLS and would get plain text (GEP-1911: with a BackendTLSPolicy only).
fn lacks_tls(ir: &BackendIr) -> bool {
    matches!(ir, BackendIr::Usable { says_tls: true, tls: UpstreamTls::Plain, .. })
}

/// The cluster's name, or what is wrong and the reason for it.
fn usable(ir: &BackendIr, cluster: &ClusterKey, no_grpc: bool) -> Result<Option<ArcStr>, (ArcStr, String)> {
    match ir {
        BackendIr::Usable { .. } if no_grpc => {
            let (name, port) = (cluster.backend.service().namespaced_name(), cluster.backend.port);
            let problem = format!("Service {name} has port {port} speak HTTP/1.1, where gRPC needs HTTP/2");
            Err((literal!("UnsupportedProtocol"), problem))
        }
        BackendIr::Usable { tls: UpstreamTls::Closed, .. }
            if cluster.protocol != UpstreamProtocol::Passthrough =>
        {
            Ok(None)
        }
        BackendIr::Usable { policy, .. } => Ok(Some(backend::cluster_name(cluster, policy.as_ref()))),
        BackendIr::Unresolved { reason, message } => Err((reason.clone(), message.to_string())),
    }
}

fn missing(cx: &mut Cx<'_>, backend: &BackendKey) -> (ArcStr, String) {
    let service = backend.service();
    let what = match cx.exists(&service) {
        true => format!("has no port {}", backend.port),
        false => "does not exist".to_owned(),
    };
    (literal!("BackendNotFound"), format!("Service {} {what}", service.namespaced_name()))
}
