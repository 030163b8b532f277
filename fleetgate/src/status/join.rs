//! What the translator reports and what the proxies say, made into one status.

use std::collections::BTreeMap;
use std::fmt::Display;

use arcstr::literal;
use proto::{ArcStr, Cause, Condition, Fault, Kind, ObjectStatus, ResourceKey, XdsKey};

use crate::kubernetes::proxies::Deployed;

/// Whether the proxies of a Gateway have what its status promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Programming {
    /// One of them ACKed it.
    Done,
    /// None did yet; why.
    Pending(String),
}

/// What a proxy said of a piece that it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) cause: Cause,
}

/// Pieces with this object's content that a proxy refused.
pub(crate) type Refusals = BTreeMap<XdsKey, Refusal>;

/// What is wrong with the xDS listeners of a Gateway, by their names; with no name, with its routes as a whole.
pub(crate) type RefusedListeners = BTreeMap<ArcStr, String>;

impl Refusal {
    /// What is wrong, in a sentence without its end.
    pub(crate) fn problem(&self, piece: &impl Display) -> String {
        let said = &self.message;
        match self.cause {
            Cause::Content | Cause::Unserved => format!("Envoy refuses {piece}: {said}"),
            Cause::Circumstance if said.ends_with("Address already in use") => {
                format!("the port of {piece} is taken by another process, and is tried again: {said}")
            }
            Cause::Circumstance => format!("Envoy cannot take {piece} now, and tries again: {said}"),
        }
    }

    fn remedy(&self) -> &'static str {
        match self.cause {
            Cause::Content => "correct the object; until then Envoy keeps the last good version",
            Cause::Unserved => {
                "correct the object; until then Envoy serves nothing of it, for no other version is known to be good"
            }
            Cause::Circumstance => {
                "remove what is in its way on the machine of that Envoy, or change the object; until then it is \
                 tried again by itself"
            }
        }
    }
}

/// True for what is programmed into proxies as a whole.
pub(super) fn has_proxies(key: &ResourceKey) -> bool {
    key.kind == Kind::GATEWAY || key.kind == Kind::LISTENER_SET
}

/// The status to show. `programming` counts for Gateways and ListenerSets only.
pub(crate) fn effective(
    key: &ResourceKey,
    reported: &ObjectStatus,
    programming: &Programming,
    refused: &RefusedListeners,
    refusals: Option<&Refusals>,
) -> ObjectStatus {
    let mut status = reported.clone();
    if has_proxies(key) {
        for listener in &mut status.listeners {
            program(&mut listener.conditions, programming, refused.get(&listener.resource));
        }
        let of_gateway: Vec<&str> = refused.values().map(String::as_str).collect();
        let of_gateway = Some(of_gateway.join("; ")).filter(|said| !said.is_empty());
        program(&mut status.conditions, programming, of_gateway.as_ref());
    }
    for (piece, refusal) in refusals.into_iter().flatten() {
        if !has_proxies(key) {
            let parents = status.parents.iter_mut().chain(&mut status.ancestors);
            for parent in parents.filter(|parent| parent.gateway.as_ref().is_none_or(|of| *of == piece.scope))
            {
                refuse(&mut parent.conditions, refusal);
            }
        }
        status.faults.push(fault(key, piece, refusal));
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
fn program(conditions: &mut [Condition], programming: &Programming, refused: Option<&String>) {
    let (reason, message) = match (refused, programming) {
        (Some(said), _) => (literal!("Invalid"), said),
        (None, Programming::Pending(why)) => (literal!("Pending"), why),
        (None, Programming::Done) => return,
    };
    for condition in
        conditions.iter_mut().filter(|condition| condition.kind == "Programmed" && condition.holds())
    {
        *condition = Condition::new(condition.kind.clone(), false, reason.clone(), message.as_str());
    }
}

fn refuse(conditions: &mut [Condition], refusal: &Refusal) {
    let message = match refusal.cause {
        Cause::Content => format!("Envoy refuses it and keeps the last good version: {}", refusal.message),
        Cause::Unserved => {
            let said = &refusal.message;
            format!(
                "Envoy refuses it and serves nothing of it, for no other version is known to be good: {said}"
            )
        }
        Cause::Circumstance => format!("Envoy cannot take it now, and tries again: {}", refusal.message),
    };
    for condition in conditions.iter_mut().filter(|condition| condition.kind == "Accepted") {
        *condition =
            Condition::new(literal!("Accepted"), false, literal!("UnsupportedValue"), message.as_str());
    }
}

fn fault(key: &ResourceKey, piece: &XdsKey, refusal: &Refusal) -> Fault {
    Fault {
        object: key.clone(),
        field: String::new(),
        problem: refusal.problem(piece),
        remedy: refusal.remedy().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proto::report::{ListenerStatus, ParentStatus};
    use proto::{Cause, Condition, Kind, ObjectStatus, ResourceKey, XdsKey, XdsKind};

    use super::{Programming, Refusal, Refusals, RefusedListeners, effective};

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
            resource: "listener/80".into(),
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
            let status = effective(&gateway(), &reported, &programming, &RefusedListeners::new(), None);
            let of = |conditions: &[Condition]| {
                (conditions[1].status.to_string(), conditions[1].reason.to_string())
            };
            assert!(status.conditions[0].holds(), "Accepted stays");
            assert_eq!(of(&status.conditions), of(&status.listeners[0].conditions));
            of(&status.conditions)
        };
        assert_eq!(shown(Programming::Done), ("True".into(), "Programmed".into()));
        assert_eq!(shown(Programming::Pending("w".into())), ("False".into(), "Pending".into()));
    }

    #[test]
    fn a_refused_listener_unprograms_itself_and_its_gateway_and_no_other() {
        let mut reported = programmed();
        reported.listeners.push(reported.listeners[0].clone());
        reported.listeners[1].resource = "listener/81".into();
        let refused = RefusedListeners::from([("listener/81".into(), "taken".to_owned())]);
        let status = effective(&gateway(), &reported, &Programming::Done, &refused, None);
        let programmed =
            |conditions: &[Condition]| (conditions[1].holds(), conditions[1].message.to_string());
        assert_eq!(programmed(&status.conditions), (false, "taken".to_owned()));
        assert!(programmed(&status.listeners[0].conditions).0);
        assert_eq!(programmed(&status.listeners[1].conditions), (false, "taken".to_owned()));
    }

    #[test]
    fn a_port_that_is_taken_is_no_mistake_of_the_object() {
        let message = "cannot bind '0.0.0.0:80': Address already in use".to_owned();
        let refusal = Refusal { message, cause: Cause::Circumstance };
        let piece = XdsKey::new(gateway(), XdsKind::Listener, "listener/80");
        let status = effective(
            &gateway(),
            &programmed(),
            &Programming::Done,
            &RefusedListeners::new(),
            Some(&Refusals::from([(piece, refusal)])),
        );
        let fault = &status.faults[0];
        assert!(fault.problem.contains("taken by another process"), "{}", fault.problem);
        assert!(
            fault.remedy.contains("tried again") && !fault.remedy.contains("correct"),
            "{}",
            fault.remedy
        );
    }

    #[test]
    fn what_has_no_good_version_is_not_said_to_be_kept() {
        let refusal = Refusal { message: "bad regex".to_owned(), cause: Cause::Unserved };
        let mut conditions = [Condition::new("Accepted", true, "Accepted", "")];
        super::refuse(&mut conditions, &refusal);
        let said = &conditions[0].message;
        assert!(said.contains("serves nothing of it") && said.ends_with(": bad regex"), "{said}");
        assert!(refusal.remedy().contains("serves nothing of it"), "{}", refusal.remedy());
    }

    #[test]
    fn a_reason_why_it_is_not_programmed_is_kept() {
        let mut reported = programmed();
        reported.conditions[1] = Condition::new("Programmed", false, "AddressNotUsable", "no");
        let pending = Programming::Pending("w".into());
        let status = effective(&gateway(), &reported, &pending, &RefusedListeners::new(), None);
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
        let refusal = Refusal { message: "bad regex".to_owned(), cause: Cause::Content };
        let refusals = Refusals::from([(piece, refusal)]);
        let route = ResourceKey::local(Kind::HTTP_ROUTE, "default", "r");
        let none = RefusedListeners::new();
        let status = effective(&route, &reported, &Programming::Done, &none, Some(&refusals));
        let refused = &status.parents[0].conditions[0];
        assert_eq!((refused.status.as_str(), refused.reason.as_str()), ("False", "UnsupportedValue"));
        assert!(refused.message.contains("bad regex"));
        assert!(status.parents[1].conditions[0].holds());
        assert_eq!(status.faults.len(), 1);
    }
}
