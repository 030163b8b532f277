//! Where a route attaches: parents, listeners, hostnames.

use std::collections::BTreeMap;

use proto::{ArcStr, Fault, Kind, ResourceKey, literal};

use super::{fault, listener_set, namespaces};
use crate::cx::Cx;
use crate::hostname;
use crate::ir::{Attachment, Context, GatewayIr, IndexKey, ListenerIr, NodeKey, Value, Verdict};
use crate::model::ParentRef;

/// What came of one parentRef.
pub(crate) struct Attempt {
    pub(crate) parent: ParentRef,
    pub(crate) gateway: ResourceKey,
    pub(crate) accepted: Verdict,
    /// Owners and names of listeners that accepted the route, whether or not they serve.
    pub(crate) listeners: Vec<(ResourceKey, ArcStr)>,
    pub(crate) attachments: Vec<Attachment>,
}

impl Attempt {
    /// Index entries by which the listeners count an accepted route (`ListenerStatus.attachedRoutes`).
    pub(crate) fn attached(&self, route: &ResourceKey) -> impl Iterator<Item = (IndexKey, ResourceKey)> {
        let at = |(owner, name): &(ResourceKey, ArcStr)| IndexKey::AttachedTo(owner.clone(), name.clone());
        self.listeners.iter().map(move |listener| (at(listener), route.clone()))
    }
}

/// What comes of all parentRefs that are ours to speak of.
pub(crate) fn attempts(
    route: &ResourceKey,
    parents: &[ParentRef],
    hostnames: &[ArcStr],
    cx: &mut Cx<'_>,
    faults: &mut Vec<Fault>,
) -> Vec<Attempt> {
    let hostnames = valid(route, hostnames, faults);
    let parents = parents.iter().enumerate();
    let hostnames = hostnames.as_deref();
    parents.filter_map(|(index, parent)| attach(route, index, parent, hostnames, cx, faults)).collect()
}

/// What there is to say of a route that wants to attach to default Gateways (GEP-3793, experimental channel).
pub(crate) fn default_gateways(route: &ResourceKey, scope: Option<&str>) -> Option<Fault> {
    scope.filter(|scope| *scope != "None")?;
    let problem = "there are no default Gateways: the field has no effect";
    Some(fault(route, "spec.useDefaultGateways", problem, "name the Gateways in spec.parentRefs"))
}

/// Hostnames without the invalid ones; none if there are some and none of them is valid: then the route matches no host.
fn valid(route: &ResourceKey, written: &[ArcStr], faults: &mut Vec<Fault>) -> Option<Vec<ArcStr>> {
    let mut good = Vec::new();
    for (index, name) in written.iter().enumerate() {
        match hostname::problem(name) {
            None => good.push(name.clone()),
            Some(problem) => faults.push(fault(
                route,
                format!("spec.hostnames[{index}]"),
                format!("{name:?} {problem}"),
                "use a DNS name, if wanted with *. in front",
            )),
        }
    }
    (written.is_empty() || !good.is_empty()).then_some(good)
}

/// Tries to attach to one parent; none if the parent is not ours to speak of.
fn attach(
    route: &ResourceKey,
    index: usize,
    parent: &ParentRef,
    hostnames: Option<&[ArcStr]>,
    cx: &mut Cx<'_>,
    faults: &mut Vec<Fault>,
) -> Option<Attempt> {
    let kind = Kind::new(&parent.group, &parent.kind);
    let field = format!("spec.parentRefs[{index}]");
    if kind != Kind::GATEWAY && kind != Kind::LISTENER_SET {
        return None;
    }
    let namespace = parent.namespace.clone().unwrap_or_else(|| route.namespace.clone());
    let owner = route.sibling(kind, namespace, parent.name.clone());
    let gateway = match owner.kind == Kind::LISTENER_SET {
        true => listener_set::gateway_of(&owner, cx),
        false => Some(owner.clone()),
    };
    let node = gateway.clone().and_then(|gateway| cx.node(NodeKey::Gateway(gateway)));
    let (Some(Value::Gateway(ir)), Some(gateway)) = (node, gateway) else {
        if !cx.exists(&owner) {
            let problem = format!("{} {} does not exist", parent.kind, owner.namespaced_name());
            faults.push(fault(route, field, problem, "create it or correct the reference"));
        }
        return None;
    };
    let found = listeners_of(route, parent, &owner, ir, hostnames, cx);
    let mut attempt = Attempt {
        parent: parent.clone(),
        accepted: Verdict::yes(literal!("Accepted"), literal!("the route is attached")),
        listeners: Vec::new(),
        attachments: Vec::new(),
        gateway,
    };
    match found {
        Ok(found) => {
            for (listener, domains) in found {
                attempt.listeners.push((listener.owner.clone(), listener.name.clone()));
                attempt.attachments.extend(attachments(&attempt.gateway, ir, listener, domains));
            }
        }
        Err((reason, message)) => {
            faults.push(fault(route, field, message.clone(), "correct the route or the Gateway's listeners"));
            attempt.accepted = Verdict::no(reason, message);
        }
    }
    Some(attempt)
}

/// A domain and the hostname that the route wrote for it.
type Domains = BTreeMap<ArcStr, ArcStr>;

/// Narrows the listeners step by step; the step that leaves none gives the reason.
fn listeners_of<'g>(
    route: &ResourceKey,
    parent: &ParentRef,
    owner: &'g ResourceKey,
    gateway: &'g GatewayIr,
    hostnames: Option<&[ArcStr]>,
    cx: &mut Cx<'_>,
) -> Result<Vec<(&'g ListenerIr, Domains)>, (ArcStr, String)> {
    let named: Vec<_> = gateway
        .of(owner)
        .filter(|listener| parent.section_name.as_ref().is_none_or(|section| *section == listener.name))
        .filter(|listener| parent.port.is_none_or(|port| port == listener.port))
        .collect();
    if gateway.of(owner).next().is_none() {
        let message = format!("{} {} is not attached to its Gateway", parent.kind, parent.name);
        return Err((literal!("NoMatchingParent"), message));
    }
    if named.is_empty() {
        let section = parent.section_name.as_ref().map(|name| format!(" named {name}")).unwrap_or_default();
        let port = parent.port.map(|port| format!(" on port {port}")).unwrap_or_default();
        let message = format!("{} {} has no listener{section}{port}", parent.kind, parent.name);
        return Err((literal!("NoMatchingParent"), message));
    }
    let allowing: Vec<_> = named.into_iter().filter(|listener| allows(route, parent, listener, cx)).collect();
    if allowing.is_empty() {
        let message = format!(
            "no listener of {} {} allows routes of this kind and namespace",
            parent.kind, parent.name
        );
        return Err((literal!("NotAllowedByListeners"), message));
    }
    let Some(hostnames) = hostnames else {
        return Err((literal!("NoMatchingListenerHostname"), "no hostname of the route is valid".to_owned()));
    };
    let matching: Vec<_> = allowing
        .into_iter()
        .map(|listener| (listener, domains(listener, hostnames)))
        .filter(|(_, domains)| !domains.is_empty())
        .collect();
    if matching.is_empty() {
        let message = format!(
            "no listener of {} {} has a hostname that meets one of the route",
            parent.kind, parent.name
        );
        return Err((literal!("NoMatchingListenerHostname"), message));
    }
    Ok(matching)
}

fn allows(route: &ResourceKey, parent: &ParentRef, listener: &ListenerIr, cx: &mut Cx<'_>) -> bool {
    if !listener.supported_kinds.contains(&route.kind) {
        return false;
    }
    let same = parent.namespace.as_ref().is_none_or(|namespace| *namespace == route.namespace);
    namespaces::allow(&listener.allowed.namespaces, "Same", same, route, cx)
}

/// Where the hostnames of listener and route meet. Of several hostnames that give the same domain the
/// most specific counts.
fn domains(listener: &ListenerIr, hostnames: &[ArcStr]) -> Domains {
    let mut domains = Domains::new();
    if hostnames.is_empty() {
        domains.insert(listener.hostname.clone(), hostname::ANY);
    }
    for written in hostnames {
        let Some(domain) = hostname::intersection(&listener.hostname, written) else { continue };
        let known = domains.entry(domain.clone()).or_insert_with(|| written.clone());
        if hostname::specificity(written) > hostname::specificity(known) {
            *known = written.clone();
        }
    }
    domains
}

fn attachments(
    gateway: &ResourceKey,
    ir: &GatewayIr,
    listener: &ListenerIr,
    domains: Domains,
) -> Vec<Attachment> {
    let (Some(table), Some(scheme)) = (&listener.table, listener.scheme) else { return Vec::new() };
    domains
        .into_iter()
        .filter(|(domain, _)| ir.serves(listener, domain))
        .map(|(domain, written)| Attachment {
            gateway: gateway.clone(),
            listener: listener.name.clone(),
            table: table.clone(),
            domain,
            written,
            context: Context { scheme, port: listener.port },
            passthrough: listener.passthrough,
        })
        .collect()
}
