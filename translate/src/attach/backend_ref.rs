//! Where a reference to a backend leads, whoever refers to it.

use proto::{ArcStr, Kind, ResourceKey, literal};

use super::grant;
use crate::engine::Cx;
use crate::graph::{BackendIr, BackendKey, NodeKey, UpstreamProtocol, Value};
use crate::model::Reference;

/// A backend that requests can be sent to.
pub(super) struct Usable {
    /// Name of its cluster.
    pub(super) cluster: ArcStr,
    pub(super) protocol: UpstreamProtocol,
}

/// Why a reference does not resolve.
pub(super) struct Unresolved {
    /// `ResolvedRefs` reason of a route.
    pub(super) reason: ArcStr,
    pub(super) field: String,
    pub(super) problem: String,
    pub(super) remedy: String,
}

/// Where a reference leads.
pub(super) struct Target {
    /// What it names, if it can name a backend.
    pub(super) backend: Option<BackendKey>,
    /// None if the backend is there and must not be asked.
    pub(super) usable: Result<Option<Usable>, Unresolved>,
}

/// Follows a reference of `owner`, which stands in `field`.
pub(super) fn resolve(cx: &mut Cx<'_>, owner: &ResourceKey, reference: &Reference, field: &str) -> Target {
    let nowhere = |reason, field: String, problem: String, remedy: String| Target {
        backend: None,
        usable: Err(Unresolved { reason, field, problem, remedy }),
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
    let usable = usable(cx, &backend, field);
    Target { backend: Some(backend), usable }
}

fn usable(cx: &mut Cx<'_>, backend: &BackendKey, field: &str) -> Result<Option<Usable>, Unresolved> {
    let (reason, problem) = match cx.node(NodeKey::Backend(backend.clone())) {
        Some(Value::Backend(ir)) => match ir.as_ref() {
            BackendIr::Usable { cluster_name, protocol, .. } => {
                return Ok(Some(Usable { cluster: cluster_name.clone(), protocol: *protocol }));
            }
            BackendIr::Closed => return Ok(None),
            BackendIr::Unresolved { reason, message } => (reason.clone(), message.to_string()),
        },
        _ => {
            let service = backend.service();
            let what = if cx.exists(&service) {
                format!("has no port {}", backend.port)
            } else {
                "does not exist".to_owned()
            };
            (literal!("BackendNotFound"), format!("Service {} {what}", service.namespaced_name()))
        }
    };
    let remedy = "create the Service or correct the reference".to_owned();
    Err(Unresolved { reason, field: field.to_owned(), problem, remedy })
}
