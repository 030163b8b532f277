//! What of a status is worth an Event: a condition that turns bad, that is bad in another way, or that is good again.

use std::collections::BTreeMap;

use proto::{ContentHash, ObjectStatus};
use serde_json::Value;

/// What an Event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) is_warning: bool,
    /// Condition type: what became another.
    pub(super) action: String,
    /// CamelCase.
    pub(super) reason: String,
    /// A sentence for people.
    pub(super) text: String,
}

/// The conditions of an object by place and type: none where it is good, else a hash of what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told(BTreeMap<u128, Option<u128>>);

/// A condition, wherever it stands.
struct Shown<'a> {
    /// Empty for the object itself.
    place: String,
    kind: &'a str,
    /// `True`, `False` or `Unknown`.
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

/// Reasons of what passes by itself: a proxy or an address is waited for.
const WAITING: [&str; 2] = ["Pending", "AddressNotAssigned"];

impl Shown<'_> {
    fn is_told(&self) -> bool {
        let is_ours = match self.kind {
            "Accepted" | "ResolvedRefs" | "Conflicted" => true,
            // Of a listener it is what its Gateway has.
            "Programmed" => self.place.is_empty(),
            _ => false,
        };
        // Objects come with conditions of which nothing is known yet.
        is_ours && self.status != "Unknown" && !WAITING.contains(&self.reason)
    }

    fn is_good(&self) -> bool {
        (self.status == "True") != (self.kind == "Conflicted")
    }

    fn key(&self) -> u128 {
        ContentHash::of_named(self.kind, self.place.as_bytes()).0
    }

    fn wrong(&self) -> Option<u128> {
        (!self.is_good()).then(|| ContentHash::of_named(self.reason, self.message.as_bytes()).0)
    }

    fn note(&self, was_bad: bool) -> Note {
        let place = if self.place.is_empty() { String::new() } else { format!("{}: ", self.place) };
        if self.is_good() {
            let word = if self.kind == "Conflicted" { "NotConflicted" } else { self.kind };
            let text = if was_bad { "what was wrong is mended" } else { "it is in effect" };
            let text = format!("{place}{text}");
            return Note { is_warning: false, action: self.kind.to_owned(), reason: word.to_owned(), text };
        }
        let text = format!("{place}{}", self.message);
        Note { is_warning: true, action: self.kind.to_owned(), reason: self.reason.to_owned(), text }
    }
}

impl Told {
    /// What the API server's copy of a status says, so that a start tells nothing that was told before.
    pub(super) fn of_server(status: &Value, controller: &str) -> Told {
        let mut told = Told::default();
        let list = |of: &Value, field: &str| of[field].as_array().cloned().unwrap_or_default();
        let mut add = |place: &str, conditions: Vec<Value>| {
            for one in &conditions {
                let text = |field: &str| one[field].as_str().unwrap_or_default();
                told.note(&Shown {
                    place: place.to_owned(),
                    kind: text("type"),
                    status: text("status"),
                    reason: text("reason"),
                    message: text("message"),
                });
            }
        };
        add("", list(status, "conditions"));
        for listener in list(status, "listeners") {
            add(
                &listener_place(listener["name"].as_str().unwrap_or_default()),
                list(&listener, "conditions"),
            );
        }
        for (field, reference) in [("parents", "parentRef"), ("ancestors", "ancestorRef")] {
            for one in list(status, field).iter().filter(|one| one["controllerName"] == controller) {
                add(&parent_place(&one[reference]), list(one, "conditions"));
            }
        }
        told
    }

    /// Takes over a new status; what is to be told of it.
    pub(super) fn take(&mut self, status: &ObjectStatus) -> Vec<Note> {
        let (mut now, mut notes) = (Told::default(), Vec::new());
        let mut add = |place: &str, conditions: &[proto::Condition]| {
            for one in conditions {
                let shown = Shown {
                    place: place.to_owned(),
                    kind: &one.kind,
                    status: &one.status,
                    reason: &one.reason,
                    message: &one.message,
                };
                let (key, wrong) = (shown.key(), shown.wrong());
                let before = self.0.get(&key).copied();
                if !shown.is_told() {
                    // What was told last still counts.
                    now.0.extend(before.map(|before| (key, before)));
                    continue;
                }
                now.note(&shown);
                let is_news = match before {
                    Some(before) => before != wrong,
                    // That nothing is wrong is news only where it puts something into effect.
                    None => {
                        wrong.is_some()
                            || (place_is_outer(place) && matches!(&*one.kind, "Accepted" | "Programmed"))
                    }
                };
                if is_news {
                    notes.push(shown.note(before.flatten().is_some()));
                }
            }
        };
        add("", &status.conditions);
        for listener in &status.listeners {
            add(&listener_place(&listener.name), &listener.conditions);
        }
        for parent in status.parents.iter().chain(&status.ancestors) {
            add(&parent_place(&parent.parent_ref.to_value()), &parent.conditions);
        }
        *self = now;
        notes
    }

    fn note(&mut self, shown: &Shown<'_>) {
        if shown.is_told() {
            self.0.insert(shown.key(), shown.wrong());
        }
    }
}

fn listener_place(name: &str) -> String {
    format!("listener {name}")
}

/// Listeners come with their Gateway, which says it for them.
fn place_is_outer(place: &str) -> bool {
    !place.starts_with("listener ")
}

/// `Gateway infra/web, section http`
fn parent_place(reference: &Value) -> String {
    let text = |field: &str| reference[field].as_str();
    let kind = text("kind").unwrap_or("Gateway");
    let namespace = text("namespace").map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let section = text("sectionName").map(|section| format!(", section {section}")).unwrap_or_default();
    let port = reference["port"].as_u64().map(|port| format!(", port {port}")).unwrap_or_default();
    format!("{kind} {namespace}{}{section}{port}", text("name").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proto::report::{ListenerStatus, ParentStatus};
    use proto::{Condition, JsonText, ObjectStatus};
    use serde_json::json;

    use super::Told;

    fn route(conditions: Vec<Condition>) -> ObjectStatus {
        let parent_ref = JsonText::of(&json!({"name": "web", "sectionName": "http"}));
        let parent = ParentStatus { parent_ref, gateway: None, conditions };
        ObjectStatus { parents: vec![parent], ..ObjectStatus::default() }
    }

    fn told(told: &mut Told, status: &ObjectStatus) -> Vec<String> {
        let notes = told.take(status).into_iter();
        notes
            .map(|note| {
                format!(
                    "{} {} {}",
                    if note.is_warning { "Warning" } else { "Normal" },
                    note.reason,
                    note.text
                )
            })
            .collect()
    }

    #[test]
    fn what_turns_bad_and_good_again_is_told_once() {
        let mut state = Told::default();
        let good = [("Accepted", true, "Accepted", ""), ("ResolvedRefs", true, "ResolvedRefs", "")];
        let nacked = [("Accepted", false, "UnsupportedValue", "Envoy refuses it"), good[1]];
        let other = [("Accepted", false, "UnsupportedValue", "Envoy refuses that"), good[1]];
        let status = |conditions: [(&'static str, bool, &'static str, &'static str); 2]| {
            route(
                conditions
                    .map(|(kind, holds, reason, text)| Condition::new(kind, holds, reason, text))
                    .into(),
            )
        };
        let place = "Gateway web, section http";
        assert_eq!(told(&mut state, &status(good)), [format!("Normal Accepted {place}: it is in effect")]);
        assert!(told(&mut state, &status(good)).is_empty());
        assert_eq!(
            told(&mut state, &status(nacked)),
            [format!("Warning UnsupportedValue {place}: Envoy refuses it")]
        );
        assert_eq!(
            told(&mut state, &status(other)),
            [format!("Warning UnsupportedValue {place}: Envoy refuses that")]
        );
        assert_eq!(
            told(&mut state, &status(good)),
            [format!("Normal Accepted {place}: what was wrong is mended")]
        );
    }

    #[test]
    fn waiting_for_a_proxy_is_no_news() {
        let status = |holds, reason: &str| ObjectStatus {
            conditions: vec![
                Condition::new("Accepted", true, "Accepted", ""),
                Condition::new("Programmed", holds, reason, ""),
            ],
            listeners: vec![ListenerStatus {
                resource: "listener/80".into(),
                name: "http".into(),
                attached_routes: 1,
                supported_kinds: vec![],
                conditions: vec![
                    Condition::new("Accepted", true, "Accepted", ""),
                    Condition::new("Programmed", holds, reason, ""),
                    Condition::new("Conflicted", false, "NoConflicts", ""),
                ],
            }],
            ..ObjectStatus::default()
        };
        let mut state = Told::default();
        assert_eq!(told(&mut state, &status(false, "Pending")), ["Normal Accepted it is in effect"]);
        assert_eq!(told(&mut state, &status(true, "Programmed")), ["Normal Programmed it is in effect"]);
        assert!(told(&mut state, &status(false, "Pending")).is_empty());
        assert!(told(&mut state, &status(true, "Programmed")).is_empty());
        assert_eq!(told(&mut state, &status(false, "Invalid")), ["Warning Invalid "]);
        assert!(told(&mut state, &status(false, "Pending")).is_empty());
        assert_eq!(
            told(&mut state, &status(true, "Programmed")),
            ["Normal Programmed what was wrong is mended"]
        );
    }

    #[test]
    fn an_object_that_nobody_has_looked_at_was_not_wrong() {
        let unknown =
            json!({"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "Waiting"});
        let mut state = Told::of_server(&json!({"conditions": [unknown]}), "ours");
        let conditions = vec![
            Condition::new("Accepted", true, "Accepted", ""),
            Condition::new("Programmed", false, "AddressNotAssigned", "not yet"),
        ];
        let status = ObjectStatus { conditions, ..ObjectStatus::default() };
        assert_eq!(told(&mut state, &status), ["Normal Accepted it is in effect"]);
    }

    #[test]
    fn what_the_server_has_is_not_told_again() {
        let server = json!({"parents": [
            {"controllerName": "x", "parentRef": {"name": "web", "sectionName": "http"},
             "conditions": [{"type": "Accepted", "status": "False", "reason": "No", "message": "no"}]},
            {"controllerName": "ours", "parentRef": {"kind": "Gateway", "name": "web", "sectionName": "http"},
             "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}]},
        ]});
        let mut state = Told::of_server(&server, "ours");
        let good = route(vec![Condition::new("Accepted", true, "Accepted", "")]);
        assert!(told(&mut state, &good).is_empty());
        let bad = route(vec![Condition::new("Accepted", false, "No", "no")]);
        assert_eq!(told(&mut state, &bad).len(), 1);
    }
}
