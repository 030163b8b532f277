//! Resolving one rule of a route: references followed, faults collected.

use std::collections::BTreeSet;

use proto::{ArcStr, Fault, Kind, ResourceKey, literal};

use super::backend_ref::{self, Speak, Target, Unresolved};
use super::fault;
use crate::cx::Cx;
use crate::ir::{ClusterKey, UpstreamProtocol};
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
    /// Gateways that they lead to, since somebody took these.
    pub(crate) gateways: BTreeSet<ResourceKey>,
}

impl<'a, 'b> RuleCx<'a, 'b> {
    pub(crate) fn new(cx: &'a mut Cx<'b>, route: &'a ResourceKey) -> Self {
        RuleCx {
            cx,
            route,
            raw: None,
            problems: Vec::new(),
            clusters: BTreeSet::new(),
            gateways: BTreeSet::new(),
        }
    }

    /// For a route whose backends get bytes.
    pub(crate) fn raw(cx: &'a mut Cx<'b>, route: &'a ResourceKey, protocol: UpstreamProtocol) -> Self {
        RuleCx { raw: Some(protocol), ..RuleCx::new(cx, route) }
    }

    /// The route that the rule is of.
    pub(crate) fn route(&self) -> &ResourceKey {
        self.route
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
        let speak = match self.raw {
            Some(protocol) => Speak::Raw(protocol),
            None if self.is_grpc() => Speak::Grpc,
            None => Speak::Http,
        };
        let Target { cluster, usable, gateways } =
            backend_ref::resolve(self.cx, self.route, reference, field, speak);
        self.gateways.extend(gateways);
        // Of one that does not resolve too: it may be there for the next event.
        self.clusters.extend(cluster);
        match usable {
            Ok(usable) => usable,
            Err(Unresolved { reason, field, problem, remedy }) => {
                self.unresolved(reason, field, problem, &remedy);
                None
            }
        }
    }

    /// True if the route takes gRPC requests, which there are in HTTP/2 only.
    pub(crate) fn is_grpc(&self) -> bool {
        self.route.kind == Kind::GRPC_ROUTE
    }
}
