//! Whether a proxy has made true what the status of a Gateway or ListenerSet promises.

use proto::{ObjectStatus, Proxies, ResourceKey, Revision};

use super::compare::hash;
use super::gateway::Gateway;
use super::join::{Programming, effective, has_proxies, join_deployed};
use super::{Entry, Inner};

impl Inner {
    /// True if a Gateway or one of its ListenerSets is not programmed by what a proxy has ACKed.
    pub(super) fn waits_for_more_than(&self, acked: Option<Revision>, gateway: &ResourceKey) -> bool {
        let sets = self.sets.get(gateway).into_iter().flatten();
        let mut entries = sets.chain([gateway]).filter_map(|key| self.objects.get(key));
        entries.any(|entry| acked.is_none_or(|acked| acked < entry.needs))
    }

    pub(super) fn effective(&self, key: &ResourceKey, entry: &Entry) -> ObjectStatus {
        let mut programming = self.programming_here(key, entry);
        if matches!(programming, Programming::Pending(_))
            && let Some(hashes) = self.elsewhere.programmed.get(key)
            && hashes.contains(&hash(&entry.status))
        {
            programming = Programming::Done;
        }
        if has_proxies(key)
            && !matches!(programming, Programming::Invalid(_))
            && let Some(invalid) = self.elsewhere.invalid(entry.status.gateway.as_ref().unwrap_or(key))
        {
            programming = invalid;
        }
        if programming == Programming::Done
            && let Some(gateway) = &entry.status.gateway
        {
            programming = self.programming_of_parent(gateway);
        }
        let mut status = effective(key, &entry.status, &programming, Some(&self.refusals_of(key)));
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

    /// A ListenerSet is programmed only while its Gateway is.
    pub(super) fn programming_of_parent(&self, gateway: &ResourceKey) -> Programming {
        let status = self.objects.get(gateway).map(|entry| self.effective(gateway, entry));
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
        let done =
            self.objects.get(key).filter(|entry| self.programming_here(key, entry) == Programming::Done);
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
