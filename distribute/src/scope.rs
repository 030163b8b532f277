//! All that the proxies of one Gateway get.

mod verdicts;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use proto::{ArcStr, ContentHash, PrivateKeyRef, Put, ResourceKey, Revision, Routing, XdsKey, XdsKind};

use rustc_hash::FxHashMap;

use crate::{
    piece::{Content, Piece},
    quarantine::{ProxyId, Quarantine},
    resource::{ResourceId, ResourceType},
    tables::{PieceId, RouteTables, TableVersion, encode_scope},
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

/// A version of a route table that this server made.
#[derive(Clone, Debug)]
struct Pushed {
    version: ContentHash,
    seq: u64,
    /// Its pieces that no proxy had answered to.
    unproven: Vec<XdsKey>,
}

/// A Gateway's resources, and which of them its proxies refused.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) key: ResourceKey,
    pub(crate) revision: Revision,
    /// How often its revisions have begun anew.
    pub(crate) era: u64,
    singles: BTreeMap<ResourceId, Piece>,
    /// By the name of the listener's routes.
    tables: BTreeMap<ArcStr, RouteTables>,
    table_size: usize,
    /// Those with changes since the last [`Scope::settle`].
    unsettled: BTreeSet<ArcStr>,
    /// Routes that some proxy wants in one table.
    wanted_whole: BTreeSet<ArcStr>,
    quarantine: Quarantine,
    /// The last versions of route tables that went out.
    pushed: FxHashMap<ArcStr, VecDeque<Pushed>>,
    /// Tables that went, latest last: a proxy that is away may still have them when they come back.
    gone: VecDeque<ArcStr>,
    /// Streams so far.
    proxies: u64,
    seq: u64,
}

impl Scope {
    pub(crate) fn new(key: ResourceKey, table_size: usize) -> Self {
        Scope {
            key,
            revision: Revision::NONE,
            era: 0,
            singles: BTreeMap::new(),
            tables: BTreeMap::new(),
            table_size,
            unsettled: BTreeSet::new(),
            wanted_whole: BTreeSet::new(),
            quarantine: Quarantine::default(),
            pushed: FxHashMap::default(),
            gone: VecDeque::new(),
            proxies: 0,
            seq: 0,
        }
    }

    /// True once a first revision has come: before that, absent means unknown.
    pub(crate) fn is_complete(&self) -> bool {
        self.revision > Revision::NONE
    }

    /// True while listeners or routes are served in an older version, which may need clusters that the
    /// newest version does not.
    pub(crate) fn serves_old_routes(&self) -> bool {
        !self.quarantine.routing.is_empty()
    }

    /// The next delta is of another log: its revisions are not compared with those before.
    pub(crate) fn begin_anew(&mut self) {
        self.revision = Revision::NONE;
        self.era += 1;
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
        self.settle(&mut effect.touched);
        effect
    }

    /// Brings the route tables up to date with their pieces.
    fn settle(&mut self, touched: &mut Vec<ResourceId>) {
        for name in std::mem::take(&mut self.unsettled) {
            let Some(tables) = self.tables.get_mut(&name) else { continue };
            for name in tables.settle(self.seq) {
                if !tables.has(&name) {
                    self.gone.push_back(name.clone());
                }
                if lookup::routes_of(&name).is_some() {
                    touched.push(ResourceId { kind: ResourceType::Scope, name: name.clone() });
                }
                touched.push(ResourceId { kind: ResourceType::Route, name });
            }
            if tables.is_empty() {
                self.tables.remove(&name);
            }
        }
        self.forget_gone();
        touched.sort_unstable();
        touched.dedup();
    }

    fn put(&mut self, put: &Put, effect: &mut Effect) {
        self.seq += 1;
        let id = resource_of(&put.key);
        let known = self.piece(&put.key).is_some();
        if self.piece(&put.key).is_some_and(|piece| piece.newest() != put.version) {
            self.forget_dissent(&put.key, effect);
        }
        let is_route = id.kind == ResourceType::Route;
        let changed = if known {
            self.change(&put.key, |piece| piece.replace(Content::from(put))) && !is_route
        } else if is_route {
            let whole = self.wanted_whole.contains(&id.name);
            let new = || RouteTables::new(id.name.clone(), self.table_size, whole);
            let tables = self.tables.entry(id.name.clone()).or_insert_with(new);
            tables.add_piece(piece_id(&put.key), Content::from(put), self.seq);
            self.unsettled.insert(id.name.clone());
            false
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
            let Some(tables) = self.tables.get_mut(&id.name) else { return };
            self.unsettled.insert(id.name.clone());
            tables.remove_piece(&piece_id(key))
        } else {
            self.singles.remove(&id)
        };
        if let Some(piece) = removed {
            self.quarantine.routing.remove(key);
            self.quarantine.owners.remove(key);
            if self.quarantine.dissents.remove(key).is_some() || piece.is_blamed() {
                effect.healed.push(key.clone());
            }
            if id.kind != ResourceType::Route {
                effect.touched.push(id);
            } else if piece.served().is_none()
                && let Some(tables) = self.tables.get(&id.name)
            {
                // A proxy that was not sent a table without it may have that now.
                let names = tables.names().chain([&id.name]).cloned();
                effect.touched.extend(names.map(|name| ResourceId { kind: ResourceType::Route, name }));
            }
        }
    }

    /// The keys of all pieces.
    pub(crate) fn keys(&self) -> Vec<XdsKey> {
        let single = |id: &ResourceId| XdsKey::new(self.key.clone(), id.kind.kind(), id.name.clone());
        let singles = self.singles.keys().map(single);
        let routes = self
            .tables
            .iter()
            .flat_map(|(routes, tables)| tables.piece_ids().map(move |id| self.key_of(routes, id.clone())));
        singles.chain(routes).collect()
    }

    pub(crate) fn names(&self, kind: ResourceType) -> impl Iterator<Item = &ArcStr> {
        let walked = self.tables.values().filter(|tables| tables.has_header()).flat_map(RouteTables::names);
        let walked = matches!(kind, ResourceType::Route | ResourceType::Scope).then_some(walked);
        let whole = (kind == ResourceType::Route).then(|| self.tables.keys());
        let first = ResourceId { kind, name: ArcStr::new() };
        let singles = self.singles.range(first..).map(|(id, _)| id).take_while(move |id| id.kind == kind);
        singles.map(|id| &id.name).chain(whole.into_iter().flatten()).chain(walked.into_iter().flatten())
    }

    pub(crate) fn has_tables(&self) -> bool {
        self.tables.values().any(RouteTables::has_header)
    }

    pub(crate) fn offer(&self, kind: ResourceType, name: &ArcStr) -> Offer {
        let (exists, version, seq) = if kind == ResourceType::Route {
            let tables = self.tables_of(name);
            let (version, seq) = tables.and_then(|one| one.version(name)).unzip();
            (tables.is_some_and(|one| one.has(name)), version, seq.unwrap_or(0))
        } else if kind == ResourceType::Scope {
            let exists =
                lookup::routes_of(name).is_some() && self.tables_of(name).is_some_and(|one| one.has(name));
            (exists, exists.then(|| ContentHash::of(name.as_bytes())), 0)
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
            return Some((self.tables.get_mut(routes_of(name))?.body(name)?, None));
        }
        if kind == ResourceType::Scope {
            return Some((encode_scope(name).into(), None));
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

    /// True if a table must not go to a proxy of which it is not known what it has of it: suspects are left out, and
    /// another proxy is to tell them apart.
    pub(crate) fn is_held_back(&self, kind: ResourceType, name: &ArcStr, proxy: ProxyId) -> bool {
        let tables = self.tables_of(name).filter(|_| kind == ResourceType::Route);
        let suspects = tables.into_iter().flat_map(RouteTables::suspects_left_out);
        let owners = suspects.filter_map(|id| self.quarantine.owners.get(&self.key_of(routes_of(name), id)));
        // The first one goes on, so that not all wait for each other.
        owners.min().is_some_and(|first| *first != proxy)
    }

    /// Domains of a table in the order of its virtual hosts on the wire.
    pub(crate) fn domain_at(&self, table: &ArcStr, index: usize) -> Option<ArcStr> {
        self.tables_of(table)?.domains(table).into_iter().nth(index)
    }

    /// True if what is served of a piece has a text in it.
    pub(crate) fn piece_contains(&self, key: &XdsKey, text: &str) -> bool {
        let contains = |body: &Bytes| body.windows(text.len()).any(|window| window == text.as_bytes());
        let Some(content) = self.piece(key).and_then(Piece::served) else { return false };
        let entries = match &content.routing {
            Some(Routing::Routes(set)) => &set.entries[..],
            _ => &[],
        };
        contains(&content.body) || entries.iter().any(|entry| contains(&entry.body))
    }

    /// A table that proxies walk, as it is served now.
    pub(crate) fn table(&self, table: &str) -> Option<&Arc<TableVersion>> {
        self.tables_of(table)?.table(table)
    }

    /// A proxy asks for a resource by its name.
    pub(crate) fn want(&mut self, kind: ResourceType, name: &ArcStr) {
        if kind != ResourceType::Route || lookup::routes_of(name).is_some() {
            return;
        }
        if self.wanted_whole.insert(name.clone())
            && let Some(tables) = self.tables.get_mut(name)
        {
            tables.want_whole(self.seq);
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
                let changed = self
                    .tables
                    .get_mut(&id.name)
                    .is_some_and(|tables| tables.change(&piece_id(key), seq, edit));
                if changed {
                    self.unsettled.insert(id.name.clone());
                }
                changed
            }
            _ => self.singles.get_mut(&id).is_some_and(|piece| change_single(piece, seq, edit)),
        };
        let routes = [ResourceType::Route, ResourceType::Listener, ResourceType::ScopedListener];
        if quarantined && routes.contains(&id.kind) {
            self.quarantine.routing.insert(key.clone());
        } else if !quarantined && !self.quarantine.is_empty() {
            self.quarantine.routing.remove(key);
            self.quarantine.owners.remove(key);
        }
        changed
    }

    fn piece(&self, key: &XdsKey) -> Option<&Piece> {
        let id = resource_of(key);
        match id.kind {
            ResourceType::Route => self.tables.get(&id.name)?.piece(&piece_id(key)),
            _ => self.singles.get(&id),
        }
    }

    /// The tables that one of this name is among.
    fn tables_of(&self, table: &str) -> Option<&RouteTables> {
        self.tables.get(routes_of(table))
    }

    fn key_of(&self, routes: &str, PieceId { domain, route }: PieceId) -> XdsKey {
        let kind = match (domain.is_empty(), route.is_empty()) {
            (true, _) => XdsKind::RouteTable,
            (_, true) => XdsKind::VirtualHost,
            _ => XdsKind::Routes,
        };
        XdsKey { domain, route, ..XdsKey::new(self.key.clone(), kind, routes) }
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

/// Name of the listener's routes that a table is of.
fn routes_of(table: &str) -> &str {
    lookup::routes_of(table).unwrap_or(table)
}

fn piece_id(key: &XdsKey) -> PieceId {
    PieceId { domain: key.domain.clone(), route: key.route.clone() }
}

fn resource_of(key: &XdsKey) -> ResourceId {
    ResourceId { kind: ResourceType::of(key.kind), name: key.name.clone() }
}
