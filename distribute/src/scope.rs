//! All that the proxies of one Gateway get.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proto::{ArcStr, ContentHash, PrivateKeyRef, Put, ResourceKey, Revision, XdsKey, XdsKind};

use crate::{
    piece::{Content, Piece, Verdict},
    quarantine::{Lane, Trials},
    resource::{ResourceId, ResourceType},
    tables::Table,
};

/// What a proxy that asks for a resource should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It does not exist.
    Absent,
    /// It exists, but there is no good version to give: a proxy keeps what it has.
    Withheld,
    /// This version.
    Ready { version: ContentHash, seq: u64 },
}

/// What a change did.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    /// Resources whose served content may have changed.
    pub(crate) touched: Vec<ResourceId>,
    /// Pieces whose quarantine ended.
    pub(crate) healed: Vec<XdsKey>,
}

/// A Gateway's resources, and which of them its proxies refused.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) key: ResourceKey,
    pub(crate) revision: Revision,
    singles: BTreeMap<ResourceId, Piece>,
    tables: BTreeMap<ArcStr, Table>,
    trials: BTreeMap<Lane, Trials>,
    /// Quarantined pieces of listeners and route tables.
    quarantined: BTreeSet<XdsKey>,
    seq: u64,
}

impl Scope {
    pub(crate) fn new(key: ResourceKey) -> Self {
        let (singles, tables, trials, quarantined) = Default::default();
        Scope { key, revision: Revision::NONE, singles, tables, trials, quarantined, seq: 0 }
    }

    /// True once a first revision has come: before that, absent means unknown.
    pub(crate) fn is_complete(&self) -> bool {
        self.revision > Revision::NONE
    }

    /// True while listeners or routes are served in an older version, which may need clusters that the
    /// newest version does not.
    pub(crate) fn serves_old_routes(&self) -> bool {
        !self.quarantined.is_empty()
    }

    /// Applies this scope's part of a delta.
    pub(crate) fn apply(&mut self, revision: Revision, puts: &[&Put], removes: &[&XdsKey]) -> Effect {
        self.revision = self.revision.max(revision);
        let mut effect = Effect::default();
        for put in puts {
            self.put(put, &mut effect);
        }
        for key in removes {
            self.remove(key, &mut effect);
        }
        effect.touched.sort_unstable();
        effect.touched.dedup();
        effect
    }

    fn put(&mut self, put: &Put, effect: &mut Effect) {
        self.seq += 1;
        let id = resource_of(&put.key);
        let known = self.piece(&put.key).is_some();
        let changed = if known {
            self.change(&put.key, |piece| piece.replace(Content::from(put)))
        } else if id.kind == ResourceType::Route {
            let table = self.tables.entry(id.name.clone()).or_default();
            table.add(&put.key.domain, Content::from(put), self.seq);
            true
        } else {
            self.singles.insert(id.clone(), Piece::new(Content::from(put), self.seq));
            true
        };
        if changed {
            effect.touched.push(id);
        }
        if known {
            self.take_healed(&put.key, effect);
        }
    }

    fn remove(&mut self, key: &XdsKey, effect: &mut Effect) {
        self.seq += 1;
        let id = resource_of(key);
        let removed = if id.kind == ResourceType::Route {
            let Some(table) = self.tables.get_mut(&id.name) else { return };
            let removed = table.remove(&key.domain, self.seq);
            if table.is_empty() {
                self.tables.remove(&id.name);
            }
            removed
        } else {
            self.singles.remove(&id)
        };
        if let Some(piece) = removed {
            self.quarantined.remove(key);
            if piece.is_blamed() {
                effect.healed.push(key.clone());
            }
            effect.touched.push(id);
        }
    }

    pub(crate) fn names(&self, kind: ResourceType) -> impl Iterator<Item = &ArcStr> {
        let tables = (kind == ResourceType::Route).then(|| self.tables.keys());
        let first = ResourceId { kind, name: ArcStr::new() };
        let singles = self.singles.range(first..).map(|(id, _)| id).take_while(move |id| id.kind == kind);
        singles.map(|id| &id.name).chain(tables.into_iter().flatten())
    }

    pub(crate) fn has_tables(&self) -> bool {
        self.tables.values().any(Table::has_header)
    }

    pub(crate) fn offer(&self, kind: ResourceType, name: &ArcStr) -> Offer {
        let (exists, version, seq) = if kind == ResourceType::Route {
            match self.tables.get(name) {
                Some(table) => (table.has_header(), table.version(), table.seq),
                None => (false, None, 0),
            }
        } else {
            let piece = self.singles.get(&ResourceId { kind, name: name.clone() });
            let version = piece.and_then(Piece::served).map(|content| content.version);
            (piece.is_some(), version, piece.map_or(0, |piece| piece.seq))
        };
        match version {
            Some(version) => Offer::Ready { version, seq },
            None if exists => Offer::Withheld,
            None => Offer::Absent,
        }
    }

    /// Body of what is offered, and the private key that belongs to it.
    pub(crate) fn body(
        &mut self,
        kind: ResourceType,
        name: &ArcStr,
    ) -> Option<(Bytes, Option<PrivateKeyRef>)> {
        if kind == ResourceType::Route {
            return Some((self.tables.get_mut(name)?.body()?, None));
        }
        let content = self.singles.get(&ResourceId { kind, name: name.clone() })?.served()?;
        Some((content.body.clone(), content.private_key.clone()))
    }

    /// Secrets that need a private key.
    pub(crate) fn keyed_secrets(&self) -> Vec<ResourceId> {
        let has_key = |piece: &Piece| piece.served().is_some_and(|content| content.private_key.is_some());
        self.singles
            .iter()
            .filter(|(id, piece)| id.kind == ResourceType::Secret && has_key(piece))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// A proxy ACKed the resource as it was at position `seq`.
    pub(crate) fn prove(&mut self, kind: ResourceType, name: &ArcStr, seq: u64, effect: &mut Effect) {
        for key in self.unproven(kind, name, seq) {
            self.change(&key, |piece| piece.prove(seq));
            self.take_healed(&key, effect);
        }
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
        if version == now {
            return self.prove(kind, name, seq, effect);
        }
        let table = self.tables.get(name).filter(|_| kind == ResourceType::Route);
        let Some(lacking) = table.and_then(|table| table.lacking(version)).cloned() else { return };
        for key in self.unproven(kind, name, seq) {
            if key.domain != lacking {
                self.change(&key, |piece| piece.prove(seq));
                self.take_healed(&key, effect);
            }
        }
    }

    /// True if a route table is served without some of its virtual hosts, of which no good version is
    /// known.
    pub(crate) fn leaves_out(&self, kind: ResourceType, name: &ArcStr) -> bool {
        kind == ResourceType::Route && self.tables.get(name).is_some_and(Table::leaves_out)
    }

    /// Pieces of a resource that were served at `seq` and that no proxy has accepted yet.
    pub(crate) fn unproven(&self, kind: ResourceType, name: &ArcStr, seq: u64) -> Vec<XdsKey> {
        let whole = XdsKey::new(self.key.clone(), kind.kind(), name.clone());
        let keys: Vec<XdsKey> = match self.tables.get(name) {
            Some(table) if kind == ResourceType::Route => {
                table.unproven().map(|domain| self.table_key(name, domain)).collect()
            }
            _ => vec![whole],
        };
        let counts = |piece: &Piece| piece.verdict() == Verdict::Unproven && piece.seq <= seq;
        keys.into_iter().filter(|key| self.piece(key).is_some_and(counts)).collect()
    }

    /// Domains of a table in the order of its virtual hosts on the wire.
    pub(crate) fn domain_at(&self, table: &ArcStr, index: usize) -> Option<&ArcStr> {
        self.tables.get(table)?.served_domains().nth(index)
    }

    /// Newest body of a piece.
    pub(crate) fn piece_body(&self, key: &XdsKey) -> Option<&Bytes> {
        self.piece(key)?.served().map(|content| &content.body)
    }

    /// Takes pieces out of service that a proxy refused. One alone is rejected; of several, each goes
    /// back to its last good version until it has been tried apart.
    pub(crate) fn quarantine(
        &mut self,
        lane: &Lane,
        suspects: Vec<XdsKey>,
        certain: bool,
    ) -> Vec<ResourceId> {
        let verdict = if certain { Verdict::Rejected } else { Verdict::Suspect };
        let mut touched = Vec::new();
        let mut group = Vec::new();
        for key in suspects {
            let Some(version) = self.piece(&key).map(Piece::newest) else { continue };
            self.judge(&key, verdict, &mut touched);
            group.push((key, version));
        }
        if !certain {
            self.trials.entry(lane.clone()).or_default().split(group);
        }
        touched
    }

    /// Lanes of a type that have suspects to try.
    pub(crate) fn lanes(&self, kind: ResourceType) -> Vec<Lane> {
        if self.trials.is_empty() {
            return Vec::new();
        }
        self.trials.keys().filter(|lane| lane.kind == kind).cloned().collect()
    }

    /// Serves the next group of suspects, unless a trial is still open. Call when a proxy has all else.
    pub(crate) fn next_trial(&mut self, lane: &Lane) -> Vec<ResourceId> {
        let mut touched = Vec::new();
        let Some(mut trials) = self.trials.remove(lane) else { return touched };
        let open = |scope: &Scope, (key, version): &(XdsKey, ContentHash), verdict: Verdict| {
            scope.piece(key).is_some_and(|piece| piece.newest() == *version && piece.verdict() == verdict)
        };
        if trials.active.iter().any(|entry| open(self, entry, Verdict::Unproven)) {
            self.trials.insert(lane.clone(), trials);
            return touched;
        }
        while let Some(mut group) = trials.queue.pop() {
            group.retain(|entry| open(self, entry, Verdict::Suspect));
            if group.is_empty() {
                continue;
            }
            for (key, _) in &group {
                self.judge(key, Verdict::Unproven, &mut touched);
            }
            trials.active = group;
            self.trials.insert(lane.clone(), trials);
            break;
        }
        touched
    }

    fn judge(&mut self, key: &XdsKey, verdict: Verdict, touched: &mut Vec<ResourceId>) {
        self.seq += 1;
        if self.change(key, |piece| piece.judge(verdict)) {
            let id = resource_of(key);
            if !touched.contains(&id) {
                touched.push(id);
            }
        }
    }

    /// Changes a piece that exists; true if what is served changed.
    fn change(&mut self, key: &XdsKey, edit: impl FnOnce(&mut Piece)) -> bool {
        let (id, seq) = (resource_of(key), self.seq);
        let mut quarantined = false;
        let edit = |piece: &mut Piece| {
            edit(piece);
            quarantined = piece.is_quarantined();
        };
        let changed = match id.kind {
            ResourceType::Route => {
                self.tables.get_mut(&id.name).is_some_and(|table| table.change(&key.domain, seq, edit))
            }
            _ => self.singles.get_mut(&id).is_some_and(|piece| change_single(piece, seq, edit)),
        };
        if quarantined && matches!(id.kind, ResourceType::Route | ResourceType::Listener) {
            self.quarantined.insert(key.clone());
        } else if !self.quarantined.is_empty() {
            self.quarantined.remove(key);
        }
        changed
    }

    fn take_healed(&mut self, key: &XdsKey, effect: &mut Effect) {
        let mut healed = false;
        self.change(key, |piece| healed = piece.take_healed());
        if healed {
            effect.healed.push(key.clone());
        }
    }

    fn piece(&self, key: &XdsKey) -> Option<&Piece> {
        let id = resource_of(key);
        match id.kind {
            ResourceType::Route => self.tables.get(&id.name)?.piece(&key.domain),
            _ => self.singles.get(&id),
        }
    }

    fn table_key(&self, table: &ArcStr, domain: &ArcStr) -> XdsKey {
        if domain.is_empty() {
            XdsKey::new(self.key.clone(), XdsKind::RouteTable, table.clone())
        } else {
            XdsKey::virtual_host(self.key.clone(), table.clone(), domain.clone())
        }
    }
}

fn change_single(piece: &mut Piece, seq: u64, edit: impl FnOnce(&mut Piece)) -> bool {
    let before = piece.served().map(|content| content.version);
    edit(piece);
    let changed = before != piece.served().map(|content| content.version);
    if changed {
        piece.seq = seq;
    }
    changed
}

fn resource_of(key: &XdsKey) -> ResourceId {
    ResourceId { kind: ResourceType::of(key.kind), name: key.name.clone() }
}
