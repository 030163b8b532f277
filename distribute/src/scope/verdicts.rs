//! What becomes of the pieces that proxies accept or refuse.

use std::collections::{BTreeMap, BTreeSet};

use proto::{ArcStr, ContentHash, XdsKey, XdsKind};

use super::{Effect, Offer, Pushed, Scope, piece_id, resource_of, routes_of};
use crate::{
    piece::{Piece, Verdict},
    quarantine::{Entry, ProxyId, Trials},
    resource::{ResourceId, ResourceType},
};

/// What a refusal says of pieces.
pub(crate) struct Evidence {
    /// Pieces that are served as they were pushed, still without an answer.
    pub(crate) suspects: Vec<XdsKey>,
    /// True if one of the pushed ones has been taken out of service since.
    pub(crate) is_explained: bool,
    /// True if one of the pushed ones has been replaced since, or is gone.
    pub(crate) is_outdated: bool,
}

/// Versions of a table that are remembered, and most unproven pieces of one.
const VERSIONS: usize = 16;
const REMEMBERED: usize = 64;
/// Tables that are gone and of which versions are remembered.
const GONE: usize = 1000;
/// Proxies that are gone and of which something is in doubt, at most.
const DOUBTED: usize = 1000;

impl Scope {
    /// A number for a new stream.
    pub(crate) fn new_proxy(&mut self) -> ProxyId {
        self.proxies += 1;
        self.proxies
    }

    /// Pieces of a resource that no proxy has answered to.
    pub(crate) fn unproven(&self, kind: ResourceType, name: &ArcStr) -> Vec<XdsKey> {
        let keys: Vec<XdsKey> = match (kind, self.tables_of(name)) {
            (ResourceType::Scope, _) => Vec::new(),
            (ResourceType::Route, Some(tables)) => {
                tables.unproven(name).into_iter().map(|id| self.key_of(routes_of(name), id)).collect()
            }
            _ => vec![XdsKey::new(self.key.clone(), kind.kind(), name.clone())],
        };
        let counts = |piece: &Piece| piece.verdict() == Verdict::Unproven;
        keys.into_iter().filter(|key| self.piece(key).is_some_and(counts)).collect()
    }

    /// A proxy ACKed these pieces as they were served at position `seq`.
    pub(crate) fn prove(&mut self, pieces: &[XdsKey], seq: u64, effect: &mut Effect) {
        for key in pieces {
            self.change(key, |piece| piece.prove(seq));
            self.take_healed(key, effect);
        }
    }

    /// A proxy has accepted a resource as it is served now.
    pub(crate) fn prove_held(&mut self, kind: ResourceType, name: &ArcStr, effect: &mut Effect) {
        if let Offer::Ready { seq, .. } = self.offer(kind, name) {
            self.prove(&self.unproven(kind, name), seq, effect);
        }
    }

    /// The one virtual host that a proxy with this version of a table lacks of what is served.
    pub(crate) fn lacking(&self, table: &ArcStr, version: ContentHash) -> Option<ArcStr> {
        self.tables_of(table)?.lacking(table, version)
    }

    /// A version of a route table goes out.
    pub(crate) fn note_pushed(
        &mut self,
        table: &ArcStr,
        version: ContentHash,
        seq: u64,
        unproven: &[XdsKey],
    ) {
        let versions = self.pushed.entry(table.clone()).or_default();
        if unproven.len() > REMEMBERED || versions.iter().any(|pushed| pushed.version == version) {
            return;
        }
        if versions.len() == VERSIONS {
            versions.pop_front();
        }
        versions.push_back(Pushed { version, seq, unproven: unproven.to_vec() });
    }

    /// Forgets the versions of tables that went long ago and are not back.
    pub(super) fn forget_gone(&mut self) {
        let surplus = self.gone.len().saturating_sub(GONE);
        for name in self.gone.drain(..surplus).collect::<Vec<_>>() {
            if !self.tables_of(&name).is_some_and(|tables| tables.has(&name)) {
                self.pushed.remove(&name);
            }
        }
    }

    /// A proxy came back with a version of a route table: true if it is one that this server made. Then the proxy has
    /// accepted it, though its ACK may have been lost.
    pub(crate) fn recall(&mut self, table: &ArcStr, version: ContentHash, effect: &mut Effect) -> bool {
        let versions = self.pushed.get(table);
        let pushed = versions.and_then(|all| all.iter().find(|pushed| pushed.version == version)).cloned();
        if let Some(pushed) = &pushed {
            self.prove(&pushed.unproven, pushed.seq, effect);
        }
        pushed.is_some()
    }

    /// A proxy came back with a version of before this server's time. If that is what is served but for
    /// one virtual host, it has accepted all others.
    pub(crate) fn prove_inherited(
        &mut self,
        kind: ResourceType,
        name: &ArcStr,
        version: ContentHash,
        effect: &mut Effect,
    ) {
        let Offer::Ready { version: now, seq } = self.offer(kind, name) else { return };
        let mut accepted = self.unproven(kind, name);
        if version == now && kind == ResourceType::Route {
            self.note_pushed(name, version, seq, &[]);
        }
        if version != now {
            let lacking = (kind == ResourceType::Route).then(|| self.lacking(name, version));
            let Some(lacking) = lacking.flatten() else { return };
            let tables = self.tables_of(name);
            accepted.retain(|key| tables.is_some_and(|one| one.is_beside(name, &piece_id(key), &lacking)));
        }
        self.prove(&accepted, seq, effect);
    }

    /// True if a route table has a piece, or would have it if it were served.
    pub(crate) fn may_have(&self, table: &ArcStr, key: &XdsKey) -> bool {
        routes_of(table) == key.name
            && self.tables_of(table).is_some_and(|one| one.may_have(table, &piece_id(key)))
    }

    /// Those of the pieces that are served as they were at position `seq`, still without an answer.
    pub(crate) fn suspects(&self, pieces: &[XdsKey], seq: u64) -> Vec<XdsKey> {
        let counts = |piece: &Piece| piece.verdict() == Verdict::Unproven && piece.seq <= seq;
        pieces.iter().filter(|key| self.piece(key).is_some_and(counts)).cloned().collect()
    }

    /// All suspects of several resources.
    pub(crate) fn suspects_of<'a>(&self, items: impl Iterator<Item = (&'a [XdsKey], u64)>) -> Vec<XdsKey> {
        let all: BTreeSet<XdsKey> = items.flat_map(|(pieces, seq)| self.suspects(pieces, seq)).collect();
        all.into_iter().collect()
    }

    /// What a refusal of resources says, by their pieces that were unproven when they were pushed.
    pub(crate) fn evidence<'a>(&self, items: impl Iterator<Item = (&'a [XdsKey], u64)> + Clone) -> Evidence {
        let mut evidence =
            Evidence { suspects: self.suspects_of(items.clone()), is_explained: false, is_outdated: false };
        for (key, seq) in items.flat_map(|(pieces, seq)| pieces.iter().map(move |key| (key, seq))) {
            match self.piece(key).map(|piece| (piece.verdict(), piece.seq)) {
                Some((Verdict::Suspect | Verdict::Rejected, _)) => evidence.is_explained = true,
                Some((Verdict::Unproven, changed)) => evidence.is_outdated |= changed > seq,
                Some((Verdict::Proven, _)) => {}
                None => evidence.is_outdated = true,
            }
        }
        evidence
    }

    /// Takes suspects of a proxy out of service: each goes back to its last good version until it has been tried.
    pub(crate) fn quarantine(
        &mut self,
        kind: ResourceType,
        suspects: &[XdsKey],
        proxy: ProxyId,
    ) -> Vec<ResourceId> {
        let mut touched = Vec::new();
        let group: Vec<Entry> = suspects
            .iter()
            .filter_map(|key| self.piece(key).map(|piece| (key.clone(), piece.newest())))
            .collect();
        for (key, _) in &group {
            self.judge(key, Verdict::Suspect, &mut touched);
            self.quarantine.owners.insert(key.clone(), proxy);
        }
        self.settle(&mut touched);
        self.trials(kind).split(group);
        touched
    }

    /// A proxy refused a suspect alone.
    pub(crate) fn condemn(&mut self, key: &XdsKey, proxy: ProxyId) {
        self.judge(key, Verdict::Rejected, &mut Vec::new());
        self.quarantine.owners.insert(key.clone(), proxy);
    }

    /// True if tables are served without a piece of theirs, because no version of it is known to be good.
    pub(crate) fn is_left_out(&self, key: &XdsKey) -> bool {
        let in_table = matches!(key.kind, XdsKind::VirtualHost | XdsKind::Routes);
        in_table && self.piece(key).is_some_and(|piece| piece.served().is_none())
    }

    /// True while any pieces wait to be told apart.
    pub(crate) fn has_trials(&self) -> bool {
        !self.quarantine.trials.is_empty()
    }

    /// True while pieces that a proxy may want wait to be told apart.
    pub(crate) fn is_trying(&self, kind: ResourceType, wants: impl Fn(&XdsKey) -> bool) -> bool {
        let Some(trials) = self.quarantine.trials.get(&kind) else { return false };
        let open = |entry: &Entry| self.is_open(entry, Verdict::Unproven) && wants(&entry.0);
        let waits = |entry: &Entry| {
            self.is_open(entry, Verdict::Suspect) && wants(&entry.0) && self.has_place_for(&entry.0)
        };
        trials.active.iter().any(open) || trials.queue.iter().flatten().any(waits)
    }

    /// True if a piece is one of those that are served to be judged.
    pub(crate) fn is_on_trial(&self, kind: ResourceType, key: &XdsKey) -> bool {
        let trials = self.quarantine.trials.get(&kind);
        trials.is_some_and(|trials| trials.active.iter().any(|(tried, _)| tried == key))
    }

    /// A proxy has said all that it will of the trial that it was to judge.
    pub(crate) fn end_trial(&mut self, kind: ResourceType, proxy: ProxyId) {
        if let Some(trials) = self.quarantine.trials.get_mut(&kind)
            && trials.judge == proxy
        {
            trials.active.clear();
            trials.judge = 0;
            if trials.queue.is_empty() {
                self.quarantine.trials.remove(&kind);
            }
        }
    }

    /// Serves the next group of suspects that a proxy can judge, unless a trial is still open: what that touched, and
    /// the pieces. Call when the proxy has all else.
    pub(crate) fn next_trial(
        &mut self,
        kind: ResourceType,
        proxy: ProxyId,
        can_judge: impl Fn(&Scope, &XdsKey) -> bool,
    ) -> (Vec<ResourceId>, Vec<XdsKey>) {
        let Some(mut trials) = self.quarantine.trials.remove(&kind) else { return Default::default() };
        if trials.active.iter().any(|entry| self.is_open(entry, Verdict::Unproven)) {
            self.quarantine.trials.insert(kind, trials);
            return Default::default();
        }
        trials.active.clear();
        trials.queue.iter_mut().for_each(|group| group.retain(|entry| self.is_open(entry, Verdict::Suspect)));
        trials.queue.retain(|group| !group.is_empty());
        self.release_placeless(&mut trials);
        let mut touched = Vec::new();
        // What would change nothing yet must not come in with what is tried before it.
        let can_try = |scope: &Scope, key: &XdsKey| can_judge(scope, key) && scope.has_place_for(key);
        if let Some(at) =
            trials.queue.iter().rposition(|group| group.iter().any(|(key, _)| can_try(self, key)))
        {
            let (group, others): (Vec<_>, Vec<_>) =
                trials.queue.remove(at).into_iter().partition(|(key, _)| can_try(self, key));
            if !others.is_empty() {
                trials.queue.insert(at, others);
            }
            for (key, _) in &group {
                self.judge(key, Verdict::Unproven, &mut touched);
            }
            self.settle(&mut touched);
            (trials.active, trials.judge) = (group, proxy);
        }
        let pieces = trials.active.iter().map(|(key, _)| key.clone()).collect();
        if !trials.active.is_empty() || !trials.queue.is_empty() {
            self.quarantine.trials.insert(kind, trials);
        }
        (touched, pieces)
    }

    /// Suspects that no table would have count as new when all others have been tried: nobody can judge them, and they
    /// hurt nobody.
    fn release_placeless(&mut self, trials: &mut Trials) {
        if trials.queue.iter().flatten().any(|(key, _)| self.has_place_for(key)) {
            return;
        }
        for (key, _) in std::mem::take(&mut trials.queue).into_iter().flatten() {
            self.judge(&key, Verdict::Unproven, &mut Vec::new());
        }
    }

    /// True if something is served otherwise when this piece is.
    fn has_place_for(&self, key: &XdsKey) -> bool {
        let is_route = ResourceType::of(key.kind) == ResourceType::Route;
        let tables = self.tables.get(&key.name).filter(|_| is_route);
        tables.is_none_or(|tables| tables.has_place_for(&piece_id(key)))
    }

    /// The piece that stands for a whole resource.
    pub(crate) fn key_of_resource(&self, kind: ResourceType, name: &ArcStr) -> XdsKey {
        XdsKey::new(self.key.clone(), kind.kind(), routes_of(name))
    }

    /// A proxy lacks a piece, whatever others say of it.
    pub(crate) fn dissent(&mut self, key: XdsKey, proxy: ProxyId) {
        self.quarantine.dissents.entry(key).or_default().insert(proxy);
    }

    /// A proxy has a piece after all, or does not want it any more.
    pub(crate) fn assent(&mut self, key: &XdsKey, proxy: ProxyId, effect: &mut Effect) {
        let Some(proxies) = self.quarantine.dissents.get_mut(key) else { return };
        proxies.remove(&proxy);
        if proxies.is_empty() {
            self.quarantine.dissents.remove(key);
            if !self.piece(key).is_some_and(Piece::is_blamed) {
                effect.healed.push(key.clone());
            }
        }
    }

    /// A proxy may have these resources in another version than it will say, unless it says this one.
    pub(crate) fn doubt(&mut self, node: &ArcStr, doubts: BTreeMap<ResourceId, Option<ContentHash>>) {
        let known = &mut self.quarantine.doubts;
        if !doubts.is_empty() && (known.len() < DOUBTED || known.contains_key(node)) {
            known.insert(node.clone(), doubts);
        }
    }

    /// True, once, if a proxy that came back may have another version than the one that it says.
    pub(crate) fn take_doubt(&mut self, node: &ArcStr, id: &ResourceId, says: Option<ContentHash>) -> bool {
        let Some(doubts) = self.quarantine.doubts.get_mut(node) else { return false };
        let doubt = doubts.remove(id);
        if doubts.is_empty() {
            self.quarantine.doubts.remove(node);
        }
        doubt.is_some_and(|pushed| pushed.is_none() || pushed != says)
    }

    /// A new version of a piece comes: what single proxies said was of the old one.
    pub(super) fn forget_dissent(&mut self, key: &XdsKey, effect: &mut Effect) {
        let forgot = self.quarantine.dissents.remove(key).is_some();
        if forgot && !self.piece(key).is_some_and(Piece::is_blamed) {
            effect.healed.push(key.clone());
        }
    }

    /// A stream ended, and its verdicts with it. What it suspected, or was to judge, counts as new; what it refused
    /// alone is tried again, alone, on others.
    pub(crate) fn proxy_gone(&mut self, proxy: ProxyId) -> Effect {
        let mut effect = Effect::default();
        let dissents = &self.quarantine.dissents;
        let dissents: Vec<XdsKey> = dissents
            .iter()
            .filter(|(_, proxies)| proxies.contains(&proxy))
            .map(|(key, _)| key.clone())
            .collect();
        dissents.iter().for_each(|key| self.assent(key, proxy, &mut effect));
        for trials in self.quarantine.trials.values_mut().filter(|trials| trials.judge == proxy) {
            trials.judge = 0;
            trials.active.clear();
        }
        for key in self.owned(proxy, Verdict::Rejected) {
            self.quarantine.owners.remove(&key);
            let Some(piece) = self.piece(&key) else { continue };
            let group = vec![(key.clone(), piece.newest())];
            self.judge(&key, Verdict::Suspect, &mut effect.touched);
            self.trials(ResourceType::of(key.kind)).queue.insert(0, group);
        }
        for key in self.owned(proxy, Verdict::Suspect) {
            self.judge(&key, Verdict::Unproven, &mut effect.touched);
        }
        self.settle(&mut effect.touched);
        effect
    }

    /// What a proxy suspects of the tables that one of this name is among counts as new: it is not to judge them.
    pub(crate) fn drop_suspicions(&mut self, proxy: ProxyId, table: &ArcStr, effect: &mut Effect) {
        for key in self.owned(proxy, Verdict::Suspect) {
            if ResourceType::of(key.kind) == ResourceType::Route && key.name == routes_of(table) {
                self.judge(&key, Verdict::Unproven, &mut effect.touched);
            }
        }
        self.settle(&mut effect.touched);
    }

    /// The pieces on which a proxy has given such a verdict.
    fn owned(&self, proxy: ProxyId, verdict: Verdict) -> Vec<XdsKey> {
        let owned = self.quarantine.owners.iter().filter(|(_, owner)| **owner == proxy).map(|(key, _)| key);
        owned.filter(|key| self.piece(key).is_some_and(|one| one.verdict() == verdict)).cloned().collect()
    }

    fn trials(&mut self, kind: ResourceType) -> &mut Trials {
        self.quarantine.trials.entry(kind).or_default()
    }

    fn is_open(&self, (key, version): &Entry, verdict: Verdict) -> bool {
        self.piece(key).is_some_and(|piece| piece.newest() == *version && piece.verdict() == verdict)
    }

    fn judge(&mut self, key: &XdsKey, verdict: Verdict, touched: &mut Vec<ResourceId>) {
        self.seq += 1;
        if self.change(key, |piece| piece.judge(verdict)) {
            let id = resource_of(key);
            if id.kind != ResourceType::Route {
                touched.push(id);
            }
        }
    }

    pub(super) fn take_healed(&mut self, key: &XdsKey, effect: &mut Effect) {
        let mut healed = false;
        self.change(key, |piece| healed = piece.take_healed());
        if healed && !self.quarantine.dissents.contains_key(key) {
            effect.healed.push(key.clone());
        }
    }
}
