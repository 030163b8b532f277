//! Listeners of one Gateway, its own and those of its ListenerSets, that are in each other's way.

use proto::{ArcStr, Fault, Kind, ResourceKey, literal};

use super::{fault, sentence};
use crate::graph::{ListenerIr, Scheme, Verdict};
use crate::hostname;

/// The first listener of a port and hostname wins: the Gateway's own come before those of its sets.
pub(super) fn find(index: usize, before: &[ListenerIr], listener: &mut ListenerIr, faults: &mut Vec<Fault>) {
    if !listener.accepted.holds {
        return;
    }
    let winner = |other: &&ListenerIr| other.accepted.holds && other.port == listener.port;
    let same_name = before.iter().any(|other| other.is(listener));
    let protocol = before.iter().filter(winner).find(|other| other.scheme != listener.scheme);
    let hostname = before.iter().filter(winner).find(|other| other.hostname == listener.hostname);
    let (reason, field, problem) = if same_name {
        (literal!("HostnameConflict"), "name", format!("another listener is named {} too", listener.name))
    } else if let Some(other) = protocol {
        let problem = format!("{} has another protocol on port {}", called(other, listener), other.port);
        (literal!("ProtocolConflict"), "protocol", problem)
    } else if let Some(other) = hostname {
        let problem = format!("{} has the same port, protocol and hostname", called(other, listener));
        (literal!("HostnameConflict"), "hostname", problem)
    } else {
        return;
    };
    let field = format!("spec.listeners[{index}].{field}");
    let fault = fault(&listener.owner, field, problem, "change or remove one of them");
    listener.accepted = Verdict::no(reason.clone(), sentence(&fault));
    listener.conflicted = Verdict::yes(reason, sentence(&fault));
    faults.push(fault);
}

/// HTTPS listeners whose hostnames overlap may get each other's requests over a reused connection;
/// those are answered 421 (GEP-3567).
pub(super) fn mark_overlaps(listeners: &mut [ListenerIr]) {
    let is_tls = |l: &ListenerIr| l.scheme == Some(Scheme::Https) && l.accepted.holds;
    let overlaps: Vec<Option<Verdict>> = listeners
        .iter()
        .map(|listener| {
            let other = listeners.iter().filter(|_| is_tls(listener)).find(|other| {
                is_tls(other)
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
