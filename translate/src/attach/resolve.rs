//! Resolving one rule of a route: references followed, faults collected.

use std::collections::BTreeSet;

use proto::{ArcStr, Fault, Kind, ResourceKey, literal};

use super::{backend, fault, grant};
use crate::engine::Cx;
use crate::graph::{BackendIr, BackendKey, ClusterKey, NodeKey, UpstreamProtocol, UpstreamTls, Value};
use crate::model::Reference;

/// What is wrong with a route, by what follows from it.
#[derive(Clone, Debug)]
pub(crate) enum Problem {
    /// A reference does not resolve: `ResolvedRefs=False` with this reason.
    Reference(ArcStr, Fault),
    /// A value or a combination of filters cannot be done: the rule answers 500, with this reason.
    Value(ArcStr, Fault),
}

impl Problem {
    /// The fault itself.
    pub(crate) fn fault(&self) -> &Fault {
        match self {
            Problem::Reference(_, fault) | Problem::Value(_, fault) => fault,
        }
    }
}

/// What a rule and its features resolve with.
pub(crate) struct RuleCx<'a, 'b> {
    cx: &'a mut Cx<'b>,
    route: &'a ResourceKey,
    /// What backends are spoken to in, if that is not for their Services to say.
    raw: Option<UpstreamProtocol>,
    /// All problems of the route so far.
    pub(crate) problems: Vec<Problem>,
    /// Clusters that get requests.
    pub(crate) clusters: BTreeSet<ClusterKey>,
}

impl<'a, 'b> RuleCx<'a, 'b> {
    pub(crate) fn new(cx: &'a mut Cx<'b>, route: &'a ResourceKey) -> Self {
        RuleCx { cx, route, raw: None, problems: Vec::new(), clusters: BTreeSet::new() }
    }

    /// For a route whose backends get bytes.
    pub(crate) fn raw(cx: &'a mut Cx<'b>, route: &'a ResourceKey, protocol: UpstreamProtocol) -> Self {
        RuleCx { raw: Some(protocol), ..RuleCx::new(cx, route) }
    }

    /// A value that cannot be done.
    pub(crate) fn refuse(&mut self, field: impl Into<String>, problem: impl Into<String>, remedy: &str) {
        let fault = fault(self.route, field, problem, remedy);
        self.problems.push(Problem::Value(literal!("UnsupportedValue"), fault));
    }

    /// Filters that do not go together.
    pub(crate) fn refuse_combination(&mut self, field: impl Into<String>, problem: &str, remedy: &str) {
        let fault = fault(self.route, field, problem, remedy);
        self.problems.push(Problem::Value(literal!("IncompatibleFilters"), fault));
    }

    /// A reference to something that we do not know.
    pub(crate) fn unresolved(
        &mut self,
        reason: ArcStr,
        field: impl Into<String>,
        problem: impl Into<String>,
        remedy: &str,
    ) {
        let fault = fault(self.route, field, problem, remedy);
        self.problems.push(Problem::Reference(reason, fault));
    }

    /// How many problems there are of the kind that makes a rule answer 500.
    pub(crate) fn refusals(&self) -> usize {
        self.problems.iter().filter(|problem| matches!(problem, Problem::Value(..))).count()
    }

    /// Name of the cluster of a backend; none if requests to it must fail.
    pub(crate) fn cluster_of(&mut self, reference: &Reference, field: &str) -> Option<ArcStr> {
        let kind = reference.kind_or("", "Service");
        if kind != Kind::SERVICE {
            let problem = format!("{kind} is not a kind of backend");
            self.unresolved(literal!("InvalidKind"), format!("{field}.kind"), problem, "refer to a Service");
            return None;
        }
        let namespace = reference.namespace.clone().unwrap_or_else(|| self.route.namespace.clone());
        let target = self.route.sibling(kind, namespace, reference.name.clone());
        if !grant::permits(self.cx, self.route, &target) {
            let problem = format!("no ReferenceGrant in namespace {} allows it", target.namespace);
            let remedy = format!(
                "add a ReferenceGrant from kind {} of this namespace to kind Service there",
                self.route.kind.kind()
            );
            self.unresolved(literal!("RefNotPermitted"), field, problem, &remedy);
            return None;
        }
        let Some(port) = reference.port else {
            let problem = "a Service needs a port";
            self.unresolved(literal!("BackendNotFound"), format!("{field}.port"), problem, "set the port");
            return None;
        };
        let backend =
            BackendKey { cluster: target.cluster, namespace: target.namespace, name: target.name, port };
        self.usable(backend, field)
    }

    /// True if the route takes gRPC requests, which there are in HTTP/2 only.
    pub(crate) fn is_grpc(&self) -> bool {
        self.route.kind == Kind::GRPC_ROUTE
    }

    fn usable(&mut self, backend: BackendKey, field: &str) -> Option<ArcStr> {
        let service = backend.service();
        let port = backend.port;
        let node = self.cx.node(NodeKey::Backend(backend.clone()));
        let said = match node {
            Some(Value::Backend(ir)) => ir.protocol(),
            _ => None,
        };
        let default = if self.is_grpc() { UpstreamProtocol::Http2 } else { UpstreamProtocol::Http1 };
        let protocol = self.raw.or(said).unwrap_or(default);
        let cluster = ClusterKey { backend, protocol };
        // Of one that does not resolve too: it may be there for the next event.
        self.clusters.insert(cluster.clone());
        let (reason, message) = match node {
            Some(Value::Backend(ir)) => match ir.as_ref() {
                BackendIr::Usable { .. } if self.is_grpc() && said == Some(UpstreamProtocol::Http1) => {
                    let name = service.namespaced_name();
                    let message =
                        format!("Service {name} has port {port} speak HTTP/1.1, where gRPC needs HTTP/2");
                    (literal!("UnsupportedProtocol"), message)
                }
                BackendIr::Usable { tls: UpstreamTls::Closed, .. }
                    if protocol != UpstreamProtocol::Passthrough =>
                {
                    return None;
                }
                BackendIr::Usable { policy, .. } => {
                    return Some(backend::cluster_name(&cluster, policy.as_ref()));
                }
                BackendIr::Unresolved { reason, message } => (reason.clone(), message.to_string()),
            },
            _ => {
                let what = if self.cx.exists(&service) {
                    format!("has no port {port}")
                } else {
                    "does not exist".into()
                };
                (literal!("BackendNotFound"), format!("Service {} {what}", service.namespaced_name()))
            }
        };
        self.unresolved(reason, field, message, "create the Service or correct the reference");
        None
    }
}
