//! What other replicas say of their proxies: a status is the same whichever replica a proxy is connected to.

use std::collections::{BTreeMap, BTreeSet};

use proto::{Cause, ResourceKey, XdsKey, XdsKind};
use serde::{Deserialize, Serialize};

use super::join::{Refusal, Refusals, RefusedListeners};
use super::{Inner, Statuses};

/// A piece with an object's content that a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// The object.
    pub(crate) object: ResourceKey,
    /// The piece.
    pub(crate) piece: XdsKey,
    /// What the proxy said.
    pub(crate) message: String,
    /// True if the reason may pass, and it is tried again.
    #[serde(default)]
    pub(crate) may_pass: bool,
    /// True if nothing is served of the piece, because no version of it is known to be good.
    #[serde(default)]
    pub(crate) unserved: bool,
}

/// All that others say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// Hashes of statuses that are true there.
    pub(crate) programmed: BTreeMap<ResourceKey, BTreeSet<u64>>,
    /// What is refused there, by object.
    pub(crate) refusals: BTreeMap<ResourceKey, Refusals>,
}

impl Elsewhere {
    /// Adds what one of them says.
    pub(crate) fn add(
        &mut self,
        programmed: impl IntoIterator<Item = (ResourceKey, u64)>,
        refused: &[Refused],
    ) {
        for (key, hash) in programmed {
            self.programmed.entry(key).or_default().insert(hash);
        }
        for Refused { object, piece, message, may_pass, unserved } in refused {
            let cause = match (may_pass, unserved) {
                (true, _) => Cause::Circumstance,
                (_, true) => Cause::Unserved,
                _ => Cause::Content,
            };
            let refusal = Refusal { message: message.clone(), cause };
            self.refusals.entry(object.clone()).or_default().insert(piece.clone(), refusal);
        }
    }

    /// What of these statuses may be another now.
    fn differing(&self, before: &Elsewhere) -> BTreeSet<ResourceKey> {
        let mut keys: BTreeSet<ResourceKey> = BTreeSet::new();
        for key in before.programmed.keys().chain(self.programmed.keys()) {
            if before.programmed.get(key) != self.programmed.get(key) {
                keys.insert(key.clone());
            }
        }
        for key in before.refusals.keys().chain(self.refusals.keys()) {
            let (old, new) = (before.refusals.get(key), self.refusals.get(key));
            if old != new {
                keys.insert(key.clone());
                // A refused listener is its Gateway's matter, too.
                let pieces = old.into_iter().chain(new).flat_map(BTreeMap::keys);
                keys.extend(pieces.filter(|piece| is_listener(piece)).map(|piece| piece.scope.clone()));
            }
        }
        keys
    }

    /// The listeners of a Gateway that are refused somewhere.
    pub(super) fn refused_listeners(&self, gateway: &ResourceKey) -> RefusedListeners {
        let pieces = self.refusals.values().flatten();
        let refused = pieces.filter(|(piece, _)| piece.scope == *gateway && is_listener(piece));
        let problem =
            |piece: &XdsKey, refusal: &Refusal| refusal.problem(&format_args!("listener {}", piece.name));
        refused.map(|(piece, refusal)| (piece.name.clone(), problem(piece, refusal))).collect()
    }
}

fn is_listener(piece: &XdsKey) -> bool {
    matches!(piece.kind, XdsKind::Listener | XdsKind::ScopedListener)
}

impl Statuses {
    /// What proxies that are connected here refuse.
    pub(crate) fn refused(&self) -> Vec<Refused> {
        let inner = self.lock();
        let here = |piece: &XdsKey| inner.gateways.get(&piece.scope).is_some_and(|one| !one.is_unused());
        let all = inner.refusals.iter().flat_map(|(object, refusals)| {
            refusals.iter().map(|(piece, refusal)| Refused {
                object: object.clone(),
                piece: piece.clone(),
                message: refusal.message.clone(),
                may_pass: refusal.cause == Cause::Circumstance,
                unserved: refusal.cause == Cause::Unserved,
            })
        });
        all.filter(|refused| here(&refused.piece)).collect()
    }

    /// What other replicas say, all of it.
    pub(crate) fn elsewhere(&self, elsewhere: Elsewhere) {
        let mut inner = self.lock();
        if inner.elsewhere == elsewhere {
            return;
        }
        let before = std::mem::replace(&mut inner.elsewhere, elsewhere);
        for key in inner.elsewhere.differing(&before) {
            inner.settle_proxied(&key);
        }
        self.tell(inner);
    }
}

impl Inner {
    /// What is refused of an object, here and elsewhere.
    pub(super) fn refusals_of(&self, key: &ResourceKey) -> Refusals {
        let both = [self.elsewhere.refusals.get(key), self.refusals.get(key)];
        both.into_iter()
            .flatten()
            .flatten()
            .map(|(piece, message)| (piece.clone(), message.clone()))
            .collect()
    }
}
