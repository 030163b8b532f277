//! Which of the route tables that a proxy is owed go out in one push, and in which versions.
//!
//! It is worked out anew for each push, from what the proxy has accepted and what there is now: edits that come
//! while one is under way, or tables that go back because they were refused, need no care of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::ArcStr;

use super::{session::Mark, subscriptions::Subscriptions};
use crate::{
    quarantine::ProxyId,
    resource::ResourceType,
    scope::{Offer, Scope},
    tables::{Change, Had, TableVersion},
};

/// What of a push waits, or goes in another version than the scope serves; nothing for types other than routes.
#[derive(Debug, Default)]
pub(super) struct Turns {
    later: BTreeSet<ArcStr>,
    interim: BTreeMap<ArcStr, Arc<TableVersion>>,
    fresh: BTreeSet<ArcStr>,
}

impl Turns {
    /// The turns of the tables that the proxy is owed.
    pub(super) fn of(kind: ResourceType, proxy: ProxyId, state: &Subscriptions, scope: &Scope) -> Turns {
        let mut turns = Turns::default();
        if kind != ResourceType::Route || state.dirty.len() < 2 {
            return turns;
        }
        let mut owed: BTreeMap<&str, Vec<(&ArcStr, Arc<TableVersion>)>> = BTreeMap::new();
        for (name, mark) in &state.dirty {
            let Some(routes) = lookup::routes_of(name) else { continue };
            let table = state.owed_table(name, *mark, proxy, scope);
            owed.entry(routes).or_default().extend(table.map(|table| (name, table)));
        }
        for (routes, owed) in owed {
            turns.add(routes, &owed, state, scope);
        }
        turns
    }

    fn add(
        &mut self,
        routes: &str,
        owed: &[(&ArcStr, Arc<TableVersion>)],
        state: &Subscriptions,
        scope: &Scope,
    ) {
        let had = |name: &str| state.had_table(name, scope);
        let leads_alike = |name: &str, table: &TableVersion| matches!(had(name), Had::Version(had, _) if had.leads_as(table));
        // A proxy that refused a step on the way is given the end of it, to find who is to blame.
        let refused = owed.iter().any(|(name, _)| state.refused.contains_key(*name));
        if owed.len() < 2 || refused || owed.iter().all(|(name, table)| leads_alike(name, table)) {
            return;
        }
        let now = |name: &str| scope.table(name).cloned();
        let tables = owed.iter().map(|(_, table)| Arc::clone(table)).collect();
        let mut next = Change { routes, had: &had, now: &now, owed: tables }.next();
        for (name, table) in owed {
            match next.tables.remove(*name) {
                None => drop(self.later.insert((*name).clone())),
                Some(version) if version.version != table.version => {
                    self.interim.insert((*name).clone(), version);
                }
                Some(_) => {}
            }
        }
        self.fresh.append(&mut next.fresh);
    }

    /// True if some tables wait for others.
    pub(super) fn hold_back(&self) -> bool {
        !self.later.is_empty()
    }

    /// True if a table must not go before others are there.
    pub(super) fn are_later(&self, name: &str) -> bool {
        self.later.contains(name)
    }

    /// The version that goes before the one that the scope serves.
    pub(super) fn interim(&self, name: &str) -> Option<&Arc<TableVersion>> {
        self.interim.get(name)
    }

    /// True if a table is not yet as it must be when the first request comes to it.
    pub(super) fn prepare(&self, name: &str) -> bool {
        self.fresh.contains(name)
    }
}

impl Subscriptions {
    /// A table as it is now, if the proxy does not have it so and would take it.
    fn owed_table(
        &self,
        name: &ArcStr,
        mark: Mark,
        proxy: ProxyId,
        scope: &Scope,
    ) -> Option<Arc<TableVersion>> {
        let kind = ResourceType::Route;
        let Offer::Ready { version, .. } = scope.offer(kind, name) else { return None };
        let sent = self.sent.get(name);
        let has = sent.is_some_and(|sent| sent.version == Some(version)) && !mark.forced;
        let is_kept = self.is_held_back(kind, name, proxy, scope);
        let is_owed = self.wants(name) && !has && !self.refuses(name, version) && !is_kept;
        scope.table(name).filter(|_| is_owed).cloned()
    }

    /// What the proxy has of a table.
    fn had_table(&self, name: &str, scope: &Scope) -> Had {
        let sent = self.sent.get(name);
        if let Some(table) = self.tables.get(name) {
            let is_sure = sent.is_some_and(|sent| sent.version == Some(table.version));
            return Had::Version(Arc::clone(table), is_sure);
        }
        let Some(sent) = sent else { return Had::Nothing };
        match scope.table(name) {
            Some(table) if sent.version == Some(table.version) => Had::Version(Arc::clone(table), true),
            _ => Had::Unknown,
        }
    }
}
