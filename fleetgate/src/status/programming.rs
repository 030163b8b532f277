//! Whether a proxy has made true what the status of a Gateway or ListenerSet promises.

use proto::{ObjectStatus, Proxies, ResourceKey, Revision};

use super::compare::hash;
use super::gateway::Gateway;
use super::join::{Programming, RefusedListeners, effective, has_proxies, join_deployed};
use super::{Entry, Inner};

impl Inner {
    /// True if a Gateway or one of its ListenerSets is not programmed by what a proxy has ACKed.
    pub(super) fn waits_for_more_than(&self, acked: Option<Revision>, gateway: &ResourceKey) -> bool {
        let sets = self.sets.get(gateway).into_iter().flatten();
        let mut entries = sets.chain([gateway]).filter_map(|key| self.objects.get(key));
        entries.any(|entry| acked.is_none_or(|acked| acked < entry.needs))
    }

    pub(super) fn effective(&self, key: &ResourceKey, entry: &Entry) -> ObjectStatus {
        self.joined(key, entry, &self.refused_listeners(key, entry))
    }

    fn joined(&self, key: &ResourceKey, entry: &Entry, refused: &RefusedListeners) -> ObjectStatus {
        let mut programming = self.programming_here(key, entry);
        if matches!(programming, Programming::Pending(_))
            && let Some(hashes) = self.elsewhere.programmed.get(key)
            && hashes.contains(&hash(&entry.status))
        {
            programming = Programming::Done;
        }
        if programming == Programming::Done
            && let Some(gateway) = &entry.status.gateway
        {
            programming = self.programming_of_parent(gateway);
        }
        let mut status = effective(key, &entry.status, &programming, refused, Some(&self.refusals_of(key)));
        match (&entry.status.proxies, self.deployed.get(key)) {
            (Some(Proxies::Managed(_)), deployed) => join_deployed(&mut status, deployed),
            // What there is of one that is not accepted stays.
            (None, Some(deployed)) => status.addresses.clone_from(&deployed.addresses),
            _ => {}
        }
        status
    }

    /// Whether proxies of this replica have what the status promises.
    pub(super) fn programming_here(&self, key: &ResourceKey, entry: &Entry) -> Programming {
        let gateway = entry.status.gateway.as_ref().unwrap_or(key);
        match self.gateways.get(gateway) {
            _ if !has_proxies(key) => Programming::Done,
            Some(gateway) => gateway.programming(entry.needs),
            None => Gateway::default().programming(entry.needs),
        }
    }

    /// What a proxy refuses of the listeners that an object is served by.
    fn refused_listeners(&self, key: &ResourceKey, entry: &Entry) -> RefusedListeners {
        if !has_proxies(key) {
            return RefusedListeners::new();
        }
        let gateway = entry.status.gateway.as_ref().unwrap_or(key);
        let mut refused = self.elsewhere.refused_listeners(gateway);
        refused.extend(self.gateways.get(gateway).map(Gateway::refused_listeners).into_iter().flatten());
        if gateway != key {
            let own = |name: &proto::ArcStr| entry.status.listeners.iter().any(|one| one.resource == *name);
            refused.retain(|name, _| own(name));
        }
        refused
    }

    /// A ListenerSet is programmed only while its Gateway is, but for listeners that are not its own.
    pub(super) fn programming_of_parent(&self, gateway: &ResourceKey) -> Programming {
        let status =
            self.objects.get(gateway).map(|entry| self.joined(gateway, entry, &RefusedListeners::new()));
        let conditions = status.map(|status| status.conditions).unwrap_or_default();
        match conditions.into_iter().find(|one| one.kind == "Programmed" && !one.holds()) {
            Some(one) => Programming::Pending(format!("the Gateway: {}", one.message)),
            None => Programming::Done,
        }
    }

    /// Notes for other replicas whether proxies of this one have what the status promises.
    pub(super) fn note_programmed(&mut self, key: &ResourceKey) {
        if !has_proxies(key) {
            return;
        }
        let is_done = |entry: &&Entry| {
            self.programming_here(key, entry) == Programming::Done
                && self.refused_listeners(key, entry).is_empty()
        };
        let done = self.objects.get(key).filter(is_done);
        let hash = done.map(|entry| hash(&entry.status));
        if self.programmed.get(key).copied() == hash {
            return;
        }
        self.programmed_changed = true;
        match hash {
            Some(hash) => drop(self.programmed.insert(key.clone(), hash)),
            None => drop(self.programmed.remove(key)),
        }
    }
}
