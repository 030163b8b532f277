//! What the translator reports and what the proxies say, made into one status.

use std::collections::BTreeMap;

use arcstr::literal;
use proto::{Condition, Fault, Kind, ObjectStatus, ResourceKey, XdsKey};

use crate::kubernetes::proxies::Deployed;

/// Whether the proxies of a Gateway have what its status promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Programming {
    /// One of them ACKed it.
    Done,
    /// None did yet; why.
    Pending(String),
    /// One of them refused it; what it said.
    Invalid(String),
}

/// Pieces with this object's content that a proxy refused, with what it said.
pub(crate) type Refusals = BTreeMap<XdsKey, String>;

/// True for what is programmed into proxies as a whole.
pub(super) fn has_proxies(key: &ResourceKey) -> bool {
    key.kind == Kind::GATEWAY || key.kind == Kind::LISTENER_SET
}

/// The status to show. `programming` counts for Gateways and ListenerSets only.
pub(crate) fn effective(
    key: &ResourceKey,
    reported: &ObjectStatus,
    programming: &Programming,
    refusals: Option<&Refusals>,
) -> ObjectStatus {
    let mut status = reported.clone();
    if has_proxies(key) {
        let listeners = status.listeners.iter_mut().map(|listener| &mut listener.conditions);
        for conditions in listeners.chain([&mut status.conditions]) {
            program(conditions, programming);
        }
    }
    for (piece, message) in refusals.into_iter().flatten() {
        if !has_proxies(key) {
            let parents = status.parents.iter_mut().chain(&mut status.ancestors);
            for parent in parents.filter(|parent| parent.gateway.as_ref().is_none_or(|of| *of == piece.scope))
            {
                refuse(&mut parent.conditions, message);
            }
        }
        status.faults.push(fault(key, piece, message));
    }
    status
}

/// The addresses are those of what was deployed; without them, or with a problem, the Gateway is not `Programmed`.
pub(crate) fn join_deployed(status: &mut ObjectStatus, deployed: Option<&Deployed>) {
    let pending = || (literal!("Pending"), "its proxies are being deployed".to_owned());
    let problem = match deployed {
        Some(deployed) => {
            status.addresses.clone_from(&deployed.addresses);
            status.conditions.extend(deployed.assigned.clone());
            deployed.problem.clone()
        }
        None => Some(pending()),
    };
    let Some((reason, message)) = problem else { return };
    for condition in status.conditions.iter_mut().filter(|condition| condition.kind == "Programmed") {
        if condition.holds() || condition.reason == "Pending" {
            *condition = Condition::new(condition.kind.clone(), false, reason.clone(), message.as_str());
        }
    }
}

/// `Programmed=True` is the translator's intent: it holds once a proxy has ACKed it.
fn program(conditions: &mut [Condition], programming: &Programming) {
    let (reason, message) = match programming {
        Programming::Done => return,
        Programming::Pending(why) => (literal!("Pending"), why),
        Programming::Invalid(said) => (literal!("Invalid"), said),
    };
    for condition in
        conditions.iter_mut().filter(|condition| condition.kind == "Programmed" && condition.holds())
    {
        *condition = Condition::new(condition.kind.clone(), false, reason.clone(), message.as_str());
    }
}

fn refuse(conditions: &mut [Condition], message: &str) {
    for condition in conditions.iter_mut().filter(|condition| condition.kind == "Accepted") {
        *condition = Condition::new(
            literal!("Accepted"),
            false,
            literal!("UnsupportedValue"),
            format!("Envoy refuses it and keeps the last good version: {message}"),
        );
    }
}

fn fault(key: &ResourceKey, piece: &XdsKey, message: &str) -> Fault {
    Fault {
        object: key.clone(),
        field: String::new(),
        problem: format!("Envoy refuses {piece}: {message}"),
        remedy: "correct the object; until then Envoy keeps the last good version".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proto::report::{ListenerStatus, ParentStatus};
    use proto::{Condition, Kind, ObjectStatus, ResourceKey, XdsKey, XdsKind};

    use super::{Programming, Refusals, effective};

    fn gateway() -> ResourceKey {
        ResourceKey::local(Kind::GATEWAY, "default", "web")
    }

    fn programmed() -> ObjectStatus {
        let conditions = vec![
            Condition::new("Accepted", true, "Accepted", ""),
            Condition::new("Programmed", true, "Programmed", ""),
        ];
        let listener = ListenerStatus {
            name: "http".into(),
            attached_routes: 1,
            supported_kinds: vec![],
            conditions: conditions.clone(),
        };
        ObjectStatus { conditions, listeners: vec![listener], ..ObjectStatus::default() }
    }

    #[test]
    fn a_gateway_is_programmed_only_once_a_proxy_has_it() {
        let reported = programmed();
        let shown = |programming| {
            let status = effective(&gateway(), &reported, &programming, None);
            let of = |conditions: &[Condition]| {
                (conditions[1].status.to_string(), conditions[1].reason.to_string())
            };
            assert!(status.conditions[0].holds(), "Accepted stays");
            assert_eq!(of(&status.conditions), of(&status.listeners[0].conditions));
            of(&status.conditions)
        };
        assert_eq!(shown(Programming::Done), ("True".into(), "Programmed".into()));
        assert_eq!(shown(Programming::Pending("w".into())), ("False".into(), "Pending".into()));
        assert_eq!(shown(Programming::Invalid("n".into())), ("False".into(), "Invalid".into()));
    }

    #[test]
    fn a_reason_why_it_is_not_programmed_is_kept() {
        let mut reported = programmed();
        reported.conditions[1] = Condition::new("Programmed", false, "AddressNotUsable", "no");
        let status = effective(&gateway(), &reported, &Programming::Pending("w".into()), None);
        assert_eq!(status.conditions[1].reason, "AddressNotUsable");
    }

    #[test]
    fn a_refused_route_says_so_for_the_gateway_that_refused_it_only() {
        let other = ResourceKey::local(Kind::GATEWAY, "default", "other");
        let parent = |gateway: &ResourceKey| ParentStatus {
            parent_ref: proto::JsonText::of(&()),
            gateway: Some(gateway.clone()),
            conditions: vec![Condition::new("Accepted", true, "Accepted", "")],
        };
        let reported =
            ObjectStatus { parents: vec![parent(&gateway()), parent(&other)], ..ObjectStatus::default() };
        let piece = XdsKey::new(gateway(), XdsKind::VirtualHost, "table");
        let refusals = Refusals::from([(piece, "bad regex".to_owned())]);
        let route = ResourceKey::local(Kind::HTTP_ROUTE, "default", "r");
        let status = effective(&route, &reported, &Programming::Done, Some(&refusals));
        let refused = &status.parents[0].conditions[0];
        assert_eq!((refused.status.as_str(), refused.reason.as_str()), ("False", "UnsupportedValue"));
        assert!(refused.message.contains("bad regex"));
        assert!(status.parents[1].conditions[0].holds());
        assert_eq!(status.faults.len(), 1);
    }
}
