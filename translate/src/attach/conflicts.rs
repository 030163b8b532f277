//! Listeners of one Gateway, its own and those of its ListenerSets, that are in each other's way.

use proto::{ArcStr, Fault, Kind, ResourceKey, literal};

use super::{fault, sentence};
use crate::hostname;
use crate::ir::{ListenerIr, Scheme, Verdict};

/// Why a listener cannot be told from another one.
struct Conflict {
    reason: ArcStr,
    field: &'static str,
    problem: String,
}

/// Refuses the listeners from `from` on, all of one owner, that are not distinct. Those whose place has been
/// claimed by an owner before them lose; of those that conflict with each other none wins ("Handling indistinct
/// Listeners" of `GatewaySpec.listeners`). `claims` are the listeners that have a place, served or not.
pub(crate) fn find(
    listeners: &mut [ListenerIr],
    from: usize,
    claims: &mut Vec<usize>,
    faults: &mut Vec<Fault>,
) {
    let (mut free, mut found) = (Vec::new(), Vec::new());
    for index in (from..listeners.len()).filter(|&index| listeners[index].accepted.holds) {
        match conflict(&listeners[index], claims.iter().map(|&claim| &listeners[claim])) {
            Some(conflict) => found.push((index, conflict)),
            None => free.push(index),
        }
    }
    for &index in &free {
        let others = free.iter().filter(|&&other| other != index).map(|&other| &listeners[other]);
        found.extend(conflict(&listeners[index], others).map(|conflict| (index, conflict)));
    }
    claims.extend(free);
    found.sort_by_key(|(index, _)| *index);
    for (index, Conflict { reason, field, problem }) in found {
        let listener = &mut listeners[index];
        let field = format!("spec.listeners[{}].{field}", index - from);
        let fault = fault(&listener.owner, field, problem, "change or remove one of them");
        listener.accepted = Verdict::no(reason.clone(), sentence(&fault));
        listener.conflicted = Verdict::yes(reason, sentence(&fault));
        faults.push(fault);
    }
}

/// What of the others a listener conflicts with, if anything: the same name, a protocol on its port that nothing tells
/// from its own, or its own hostname there. HTTPS and TLS go together, told apart by the server name: they are distinct
/// by "Distinct Listeners" of `GatewaySpec.listeners`, and compatible here.
fn conflict<'a>(
    listener: &ListenerIr,
    mut others: impl Iterator<Item = &'a ListenerIr> + Clone,
) -> Option<Conflict> {
    let mut on_port = others.clone().filter(|other| other.port == listener.port);
    if others.any(|other| other.is(listener)) {
        let problem = format!("another listener is named {} too", listener.name);
        return Some(Conflict { reason: literal!("HostnameConflict"), field: "name", problem });
    }
    let excludes = |other: &&ListenerIr| match (listener.scheme, other.scheme) {
        (Some(scheme), Some(other)) => !scheme.shares_ports_with(other),
        (scheme, other) => scheme != other,
    };
    if let Some(other) = on_port.clone().find(excludes) {
        let problem = format!("{} has another protocol on port {}", called(other, listener), other.port);
        return Some(Conflict { reason: literal!("ProtocolConflict"), field: "protocol", problem });
    }
    let other = on_port.find(|other| other.hostname == listener.hostname)?;
    let same =
        if other.scheme == listener.scheme { "port, protocol and hostname" } else { "port and hostname" };
    let problem = format!("{} has the same {same}", called(other, listener));
    Some(Conflict { reason: literal!("HostnameConflict"), field: "hostname", problem })
}

/// HTTPS listeners whose hostnames overlap with those of others of their port may get requests of these over a reused
/// connection; those are answered 421 (GEP-3567).
pub(crate) fn mark_overlaps(listeners: &mut [ListenerIr]) {
    let is_tls = |l: &ListenerIr| l.scheme.is_some_and(Scheme::is_tls) && l.accepted.holds;
    let is_https = |l: &ListenerIr| l.scheme == Some(Scheme::Https);
    let overlaps: Vec<Option<Verdict>> = listeners
        .iter()
        .map(|listener| {
            let other = listeners.iter().filter(|_| is_tls(listener)).find(|other| {
                is_tls(other)
                    && (is_https(other) || is_https(listener))
                    && !other.is(listener)
                    && other.port == listener.port
                    && hostname::intersection(&other.hostname, &listener.hostname).is_some()
            });
            other.map(|other| overlap(&called(other, listener)))
        })
        .collect();
    for (listener, overlapping) in listeners.iter_mut().zip(overlaps) {
        listener.overlapping = overlapping;
    }
}

fn overlap(other: &str) -> Verdict {
    Verdict::yes(
        literal!("OverlappingHostnames"),
        format!("hostnames overlap with those of {other}; misdirected requests are answered 421"),
    )
}

/// A listener as the owner of `to` may know it: not by name if it is another namespace's set.
fn called(listener: &ListenerIr, to: &ListenerIr) -> String {
    let (name, owner): (&ArcStr, &ResourceKey) = (&listener.name, &listener.owner);
    if *owner == to.owner {
        format!("listener {name}")
    } else if owner.kind == Kind::GATEWAY || owner.namespace == to.owner.namespace {
        format!("listener {name} of {} {}", owner.kind.kind(), owner.namespaced_name())
    } else {
        "a listener of another namespace's ListenerSet".to_owned()
    }
}
