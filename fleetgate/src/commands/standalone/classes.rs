//! GatewayClasses that Gateways of ours need are kept when they vanish: what serves goes on, and says what is amiss.
//!
//! It stands between source and log, so that the log has what is in effect: a class that is kept is written as it was
//! last, with a mark that the translator reads (`docs/adr/0013-classes-that-vanish.md`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proto::{ArcStr, Change, Event, Kind, ResourceKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::kubernetes::classes::InUse;

/// The classes and who uses them, as the source tells.
pub(super) struct Classes {
    controller: ArcStr,
    /// Those that exist, as they are.
    there: BTreeMap<ResourceKey, Event>,
    /// Those that do not exist any more, and are in effect.
    kept: BTreeMap<ResourceKey, Event>,
    /// The class of each Gateway.
    class_of: HashMap<ResourceKey, ResourceKey>,
    users: BTreeMap<ResourceKey, BTreeSet<ResourceKey>>,
    in_use: watch::Sender<InUse>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    gateway_class_name: ArcStr,
    #[serde(default)]
    controller_name: ArcStr,
}

/// A Gateway that names another class than before.
struct Moved {
    from: ResourceKey,
    to: ResourceKey,
}

impl Classes {
    /// Of a `controllerName`, from where the log ends.
    pub(super) fn new<'a>(controller: ArcStr, log: impl Iterator<Item = &'a Event>) -> Classes {
        let mut classes = Classes {
            controller,
            there: BTreeMap::new(),
            kept: BTreeMap::new(),
            class_of: HashMap::new(),
            users: BTreeMap::new(),
            in_use: watch::Sender::default(),
        };
        for event in log {
            if event.key.kind == Kind::GATEWAY {
                classes.note(event);
            } else if event.key.kind == Kind::GATEWAY_CLASS {
                let of = if is_marked(event) { &mut classes.kept } else { &mut classes.there };
                of.insert(event.key.clone(), event.clone());
            }
        }
        classes
    }

    /// Which classes Gateways refer to.
    pub(super) fn in_use(&self) -> watch::Receiver<InUse> {
        self.in_use.subscribe()
    }

    /// Tells it, now that all has been read.
    pub(super) fn tell(&self) {
        let now: BTreeSet<ArcStr> = self.users.keys().map(|class| class.name.clone()).collect();
        self.in_use.send_if_modified(|before| {
            let changed = before.as_ref() != Some(&now);
            *before = Some(now);
            changed
        });
    }

    /// What the log is to have of a batch of the source.
    pub(super) fn pass(&mut self, events: Vec<Event>) -> Vec<Event> {
        if !events.iter().any(|event| [Kind::GATEWAY, Kind::GATEWAY_CLASS].contains(&event.key.kind)) {
            return events;
        }
        let (mut passed, mut gone, mut moved) = (Vec::with_capacity(events.len()), Vec::new(), Vec::new());
        for event in events {
            if event.key.kind == Kind::GATEWAY {
                moved.extend(self.note(&event));
            } else if event.key.kind == Kind::GATEWAY_CLASS {
                match event.change {
                    Change::Upsert(_) => {
                        self.kept.remove(&event.key);
                        self.there.insert(event.key.clone(), event.clone());
                    }
                    Change::Delete => {
                        gone.push(event);
                        continue;
                    }
                    _ => {}
                }
            }
            passed.push(event);
        }
        let mut first: Vec<Event> = moved.iter().filter_map(|moved| self.follow(moved, &gone)).collect();
        let mut last = Vec::new();
        for deletion in gone {
            self.delete(deletion, &mut first, &mut last);
        }
        last.extend(self.let_go());
        let end = passed.iter().position(|event| matches!(event.change, Change::Synced { .. }));
        passed.splice(end.unwrap_or(passed.len())..end.unwrap_or(passed.len()), last);
        passed.splice(0..0, first);
        passed
    }

    /// Takes note of the class that a Gateway names.
    fn note(&mut self, event: &Event) -> Option<Moved> {
        let gateway = &event.key;
        let to = match &event.change {
            Change::Upsert(payload) => {
                let name = serde_json::from_slice::<Read>(payload).ok()?.spec.gateway_class_name;
                Some(gateway.sibling(Kind::GATEWAY_CLASS, "", name))
            }
            Change::Delete => None,
            _ => return None,
        };
        if self.class_of.get(gateway) == to.as_ref() {
            return None;
        }
        let from = match &to {
            Some(to) => self.class_of.insert(gateway.clone(), to.clone()),
            None => self.class_of.remove(gateway),
        };
        if let Some(from) = &from
            && let Some(users) = self.users.get_mut(from)
        {
            users.remove(gateway);
            if users.is_empty() {
                self.users.remove(from);
            }
        }
        let to = to?;
        self.users.entry(to.clone()).or_default().insert(gateway.clone());
        Some(Moved { from: from?, to })
    }

    /// A Gateway of ours that names a class which is not there, or not yet: it keeps what its last class said.
    fn follow(&mut self, moved: &Moved, gone: &[Event]) -> Option<Event> {
        let is_there = self.there.contains_key(&moved.to) && !gone.iter().any(|event| event.key == moved.to);
        if is_there || self.kept.contains_key(&moved.to) {
            return None;
        }
        let before = self.in_effect(&moved.from)?;
        let event = marked(before, &moved.to)?;
        self.kept.insert(moved.to.clone(), event.clone());
        Some(event)
    }

    fn delete(&mut self, deletion: Event, first: &mut Vec<Event>, last: &mut Vec<Event>) {
        let class = deletion.key.clone();
        let is_used = self.users.contains_key(&class);
        if is_used && self.kept.contains_key(&class) {
            // A start that finds it missing still, or a Gateway that came to it just now.
            self.there.remove(&class);
            return;
        }
        let kept = self.in_effect(&class).filter(|_| is_used).and_then(|before| marked(before, &class));
        self.there.remove(&class);
        match kept {
            Some(event) => {
                self.kept.insert(class, event.clone());
                first.push(event);
            }
            None => {
                self.kept.remove(&class);
                last.push(deletion);
            }
        }
    }

    /// Those that are kept, and nobody uses any more.
    fn let_go(&mut self) -> Vec<Event> {
        let unused = |(class, _): &(&ResourceKey, &Event)| !self.users.contains_key(*class);
        let unused: Vec<Event> = self.kept.iter().filter(unused).map(|(_, event)| event.clone()).collect();
        for event in &unused {
            self.kept.remove(&event.key);
        }
        unused.into_iter().map(|event| Event { change: Change::Delete, ..event }).collect()
    }

    /// A class of ours, be it kept.
    fn in_effect(&self, class: &ResourceKey) -> Option<&Event> {
        let event = self.there.get(class).or_else(|| self.kept.get(class))?;
        let Change::Upsert(payload) = &event.change else { return None };
        let read: Read = serde_json::from_slice(payload).ok()?;
        (read.spec.controller_name == self.controller).then_some(event)
    }
}

fn is_marked(event: &Event) -> bool {
    let Change::Upsert(payload) = &event.change else { return false };
    let value: Option<Value> = serde_json::from_slice(payload).ok();
    value.is_some_and(|value| value["metadata"]["annotations"][translate::KEPT_CLASS] == "true")
}

/// A class as it was, marked, under a name.
fn marked(before: &Event, class: &ResourceKey) -> Option<Event> {
    let Change::Upsert(payload) = &before.change else { return None };
    let mut value: Value = serde_json::from_slice(payload).ok()?;
    value["metadata"]["name"] = class.name.as_str().into();
    value["metadata"]["annotations"][translate::KEPT_CLASS] = "true".into();
    let change = Change::Upsert(value.to_string().into());
    // One version is one content.
    let resource_version = format!("{}-kept", before.resource_version).into();
    Some(Event { key: class.clone(), resource_version, change, ..before.clone() })
}

#[cfg(test)]
#[path = "classes_tests.rs"]
mod tests;
