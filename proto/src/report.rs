//! What the translator has to say about an object: conditions and faults.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::{ArcStr, GatewayAddress, Proxies, ResourceKey};

/// A condition as Kubernetes shows it, without its transition time: that belongs to whoever writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Condition {
    /// E.g. `Accepted`.
    #[serde(rename = "type")]
    pub kind: ArcStr,
    /// `True`, `False` or `Unknown`.
    pub status: ArcStr,
    /// CamelCase reason from the Gateway API.
    pub reason: ArcStr,
    /// A sentence for people.
    pub message: ArcStr,
}

impl Condition {
    /// A condition that holds or does not.
    pub fn new(
        kind: impl Into<ArcStr>,
        holds: bool,
        reason: impl Into<ArcStr>,
        message: impl Into<ArcStr>,
    ) -> Self {
        let status = if holds { arcstr::literal!("True") } else { arcstr::literal!("False") };
        Condition { kind: kind.into(), status, reason: reason.into(), message: bounded(message.into()) }
    }

    /// True if the status is `True`.
    pub fn holds(&self) -> bool {
        self.status == "True"
    }
}

/// Kubernetes takes no status with a message of more than 32,768 characters, and people read no such ones.
const LONGEST_MESSAGE: usize = 8192;

fn bounded(message: ArcStr) -> ArcStr {
    // As many bytes are at most as many characters.
    if message.len() <= LONGEST_MESSAGE {
        return message;
    }
    match message.char_indices().nth(LONGEST_MESSAGE - 1) {
        Some((end, last)) if end + last.len_utf8() < message.len() => format!("{}…", &message[..end]).into(),
        _ => message,
    }
}

/// Something wrong with an object, for a person to mend.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fault {
    /// The object.
    pub object: ResourceKey,
    /// Path of the field, e.g. `spec.rules[0].backendRefs[1].name`; empty if it is the whole object.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// `HTTPRoute default/web: spec.rules[0].matches[0].path.value: <problem>; <remedy>`
/// The alternate form (`{:#}`) leaves out the remedy, for faults that are mended.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)?;
        if f.alternate() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

/// Status of one listener of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// The section name.
    pub name: ArcStr,
    /// Name of the xDS listener that serves it, with others of its port.
    pub resource: ArcStr,
    /// Accepted routes, whether or not their references resolve.
    pub attached_routes: i32,
    /// Route kinds that may attach, as `{group, kind}` objects.
    pub supported_kinds: Vec<Value>,
    /// Conditions of the listener.
    pub conditions: Vec<Condition>,
}

/// A JSON value kept as text: there is one for each route, and a tree would weigh ten times as much.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JsonText(ArcStr);

impl JsonText {
    /// The text of a value, with sorted keys: equal values have equal texts. `null` for what JSON cannot say.
    pub fn of(value: &impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        JsonText(value.to_string().into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| JsonText::of(&value))
    }
}

/// Status of a route for one parent, or of a policy for one ancestor.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentStatus {
    /// The `parentRef` (or `ancestorRef`) as the user wrote it.
    pub parent_ref: JsonText,
    /// The Gateway it resolves to.
    #[serde(skip)]
    pub gateway: Option<ResourceKey>,
    /// Conditions under this parent.
    pub conditions: Vec<Condition>,
}

/// The status of one object. Only the parts that its kind has are filled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectStatus {
    /// `metadata.generation` that this status speaks of.
    pub observed_generation: i64,
    /// Conditions of the object itself (GatewayClass, Gateway, and any object that does not decode).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Gateways and ListenerSets: their listeners.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
    /// Gateways: the addresses at which they are reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewayAddress>,
    /// Gateways: how many ListenerSets are attached and accepted.
    #[serde(skip_serializing_if = "is_zero")]
    pub attached_listener_sets: i32,
    /// ListenerSets: the Gateway whose proxies serve them.
    #[serde(skip)]
    pub gateway: Option<ResourceKey>,
    /// Gateways: who runs their proxies; none if that stays as it is, since the Gateway is not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxies: Option<Proxies>,
    /// Routes: one entry a parent of ours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<ParentStatus>,
    /// Policies: one entry an ancestor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<ParentStatus>,
    /// GatewayClasses: names of the features supported, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_features: Vec<ArcStr>,
    /// All that is wrong with the object, for logs and the command line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants it so
fn is_zero(count: &i32) -> bool {
    *count == 0
}

/// A changed status.
///
/// A Gateway's or listener's `Programmed=True` is the translator's intent; whoever shows or writes the
/// status lowers it to `False/Pending` until an Envoy has ACKed the report's revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Report {
    /// The object.
    pub key: ResourceKey,
    /// Its status; none if the object is gone or no longer ours.
    pub status: Option<ObjectStatus>,
}

#[cfg(test)]
mod tests {
    use super::{Condition, LONGEST_MESSAGE};

    #[test]
    fn a_message_is_never_longer_than_a_status_may_have() {
        for (text, count) in [("ä", LONGEST_MESSAGE), ("ä", LONGEST_MESSAGE + 1), ("a", 40_000), ("a", 3)] {
            let condition = Condition::new("Accepted", false, "Invalid", text.repeat(count));
            let written = condition.message.chars().count();
            assert_eq!(written, count.min(LONGEST_MESSAGE));
            assert_eq!(condition.message.ends_with('…'), count > LONGEST_MESSAGE);
        }
    }
}
