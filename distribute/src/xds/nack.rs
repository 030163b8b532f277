//! Who is to blame for a refused push.

use std::collections::{BTreeMap, BTreeSet};

use proto::{ArcStr, XdsKey};

use super::{
    push::{Item, Push},
    session::{Mark, Notice, Output, Session},
    subscriptions::Sent,
};
use crate::{
    quarantine::Lane,
    resource::ResourceType,
    scope::{Effect, Scope},
};

/// An Envoy quotes its configuration in its message; more than this of it is not kept.
const MESSAGE_LIMIT: usize = 4096;

impl Session {
    /// Puts the refused pieces into quarantine. Envoy applies the good resources of a CDS or LDS push
    /// and names the bad ones; of the other types it keeps what it had and rarely names anything.
    pub(crate) fn nack(
        &mut self,
        kind: ResourceType,
        push: Push,
        message: &str,
        scope: &mut Scope,
        effect: &mut Effect,
        out: &mut Output,
    ) {
        let named: Vec<bool> =
            push.items.iter().map(|item| names_resource(kind, message, &item.name)).collect();
        let is_named = named.contains(&true);
        let exact = is_named || push.items.len() == 1;
        let mut keys = Vec::new();
        // All suspects, and those that the message points to.
        let mut lanes: BTreeMap<Lane, (BTreeSet<XdsKey>, BTreeSet<XdsKey>)> = BTreeMap::new();
        for (item, _) in push.items.iter().zip(&named).filter(|(_, named)| is_named && !**named) {
            scope.prove(kind, &item.name, item.seq, effect);
        }
        for (item, _) in push.items.iter().zip(&named).filter(|(_, named)| !is_named || **named) {
            let mark = push.mark.unwrap_or_else(|| Mark::at(push.revision));
            self.take_back(kind, item, push.nonce, exact, mark);
            let suspects = scope.unproven(kind, &item.name, item.seq);
            let inherited = item.previous.as_ref().is_some_and(|sent| sent.inherited);
            let lane = Lane::of(kind, &item.name);
            if suspects.is_empty() {
                // Others accepted it: this proxy alone stays on what it has.
                self.of(kind).refused.insert(item.name.clone(), item.version);
            } else if kind == ResourceType::Route && inherited && suspects.len() > 1 {
                // All of it is new to this server, and trying hosts apart would take some away that the
                // proxy serves: it stays on what it has, and nobody is condemned.
                self.of(kind).refused.insert(item.name.clone(), item.version);
                let blamed = blamed(kind, message, &item.name, suspects, scope);
                if blamed.len() == 1 {
                    keys.extend(blamed);
                }
            } else {
                let lane = lanes.entry(lane).or_default();
                lane.0.extend(suspects.iter().cloned());
                lane.1.extend(blamed(kind, message, &item.name, suspects, scope));
            }
        }
        for (lane, (suspects, blamed)) in lanes {
            let certain = is_named || suspects.len() == 1;
            let suspects: Vec<XdsKey> = if certain { suspects } else { blamed }.into_iter().collect();
            if certain {
                keys.extend(suspects.iter().cloned());
            }
            effect.touched.extend(scope.quarantine(&lane, suspects, certain));
        }
        let message = message.chars().take(MESSAGE_LIMIT).collect();
        out.notices.push(Notice::Nacked { kind, revision: push.revision, keys, message });
    }

    /// The proxy does not have an item after all. What it has instead is known only if nothing of the
    /// push can have been applied.
    fn take_back(&mut self, kind: ResourceType, item: &Item, nonce: u64, exact: bool, mark: Mark) {
        if let Some(name) = &item.endpoints {
            self.awaited.remove(name);
        }
        if kind == ResourceType::Endpoints {
            self.awaited.remove(&item.name);
        }
        let state = self.of(kind);
        if state.sent.get(&item.name).is_none_or(|sent| sent.nonce != nonce) {
            return;
        }
        match item.previous {
            Some(previous) => {
                let version = previous.version.filter(|_| exact);
                state.sent.insert(item.name.clone(), Sent { version, ..previous });
            }
            None => {
                state.sent.remove(&item.name);
            }
        }
        state.touch(&item.name, Mark { forced: false, ..mark });
    }
}

/// `Error adding/updating cluster(s) NAME: reason, NAME: reason`
fn names_resource(kind: ResourceType, message: &str, name: &ArcStr) -> bool {
    let named = [ResourceType::Cluster, ResourceType::Listener, ResourceType::ScopedListener];
    if !named.contains(&kind) || name.is_empty() {
        return false;
    }
    message.match_indices(name.as_str()).any(|(at, _)| {
        let before = message[..at].chars().next_back();
        let after = &message[at + name.len()..];
        before.is_none_or(|one| one.is_whitespace() || one == ',') && after.starts_with(':')
    })
}

/// Narrows the suspects of a route table to those that the message points to: by the position of a
/// virtual host, or by text, such as an invalid regex, that only they contain.
fn blamed(
    kind: ResourceType,
    message: &str,
    name: &ArcStr,
    suspects: Vec<XdsKey>,
    scope: &Scope,
) -> Vec<XdsKey> {
    if kind != ResourceType::Route {
        return suspects;
    }
    let by_position = position(message).and_then(|index| scope.domain_at(name, index));
    let hints = hints(message);
    let points_to = |key: &&XdsKey| {
        by_position.as_ref() == Some(&key.domain) || hints.iter().any(|hint| scope.piece_contains(key, hint))
    };
    let blamed: Vec<XdsKey> = suspects.iter().filter(points_to).cloned().collect();
    if blamed.is_empty() { suspects } else { blamed }
}

/// The index in `…VirtualHosts[3]…`.
fn position(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once("VirtualHosts[")?;
    rest.split_once(']')?.0.parse().ok()
}

/// Texts that may be parts of the refused message: what is in quotes, and what follows a colon up to the
/// end, as in `missing ): REGEX`.
fn hints(message: &str) -> Vec<&str> {
    let quotes = ['\'', '"', '`'].into_iter().flat_map(|quote| message.split(quote).skip(1).step_by(2));
    let ends = message.match_indices(": ").map(|(at, colon)| message[at + colon.len()..].trim());
    quotes.chain(ends).filter(|text| text.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::{hints, names_resource, position};
    use crate::resource::ResourceType;

    #[test]
    fn names_count_only_as_whole_words() {
        let message = "Error adding/updating cluster(s) web-2: bad ttl, other: bad";
        let names = |name: &str| names_resource(ResourceType::Cluster, message, &name.into());
        assert!(names("web-2") && names("other"));
        assert!(!names("web") && !names("2") && !names("ttl"));
        assert!(!names_resource(ResourceType::Endpoints, message, &"other".into()));
    }

    #[test]
    fn hints_are_positions_quotes_and_ends() {
        assert_eq!(position("RouteConfigurationValidationError.VirtualHosts[12]: embedded"), Some(12));
        assert_eq!(position("VirtualHosts[x]"), None);
        assert_eq!(hints("missing ): /(bad"), ["/(bad"]);
        assert_eq!(hints("invalid regex 'a(b' is bad"), ["a(b"]);
    }
}
