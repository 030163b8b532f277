//! What no condition says and people look for: references to what is not there, Services without endpoints, rules
//! that another one shadows. Found when somebody asks, in the objects as the log has them: changes pay nothing for it.

mod backends;
mod objects;
mod parents;
mod shadows;

use proto::{Event, ResourceKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use objects::Objects;

/// Something that may be a mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hint {
    /// In CamelCase; `NoMatchingParent` where the Gateway API has a word.
    pub(crate) reason: String,
    /// Path of the field, empty for the whole object.
    pub(crate) field: String,
    /// What is odd.
    pub(crate) problem: String,
    /// What to do about it.
    pub(crate) remedy: String,
    /// The parentRef that leads nowhere.
    #[serde(rename = "parentRef", skip_serializing_if = "Option::is_none", default)]
    pub(crate) parent_ref: Option<Value>,
}

impl Hint {
    fn new(reason: &str, field: String, problem: String, remedy: &str) -> Hint {
        let (reason, remedy) = (reason.to_owned(), remedy.to_owned());
        Hint { reason, field, problem, remedy, parent_ref: None }
    }
}

/// All hints of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hinted {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) hints: Vec<Hint>,
}

/// Looks through all objects. `accepted`: whether a parent of the route has taken it.
pub(crate) fn find(
    events: impl IntoIterator<Item = Event>,
    controller: &str,
    accepted: &dyn Fn(&ResourceKey) -> bool,
) -> Vec<Hinted> {
    let objects = Objects::of(events, controller);
    let mut all: Vec<(ResourceKey, Hint)> = Vec::new();
    parents::find(&objects, &mut all);
    backends::find(&objects, &mut all);
    shadows::find(&objects, accepted, &mut all);
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut found: Vec<(ResourceKey, Hinted)> = Vec::new();
    for (key, hint) in all {
        match found.last_mut() {
            Some((last, hinted)) if *last == key => hinted.hints.push(hint),
            _ => {
                let hinted = Hinted {
                    api_version: crate::status::view::api_version(&key.kind),
                    kind: key.kind.kind().to_owned(),
                    namespace: key.namespace.to_string(),
                    name: key.name.to_string(),
                    hints: vec![hint],
                };
                found.push((key, hinted));
            }
        }
    }
    found.into_iter().map(|(_, hinted)| hinted).collect()
}

#[cfg(test)]
mod tests;
