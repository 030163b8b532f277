//! A listener's routes: kept as pieces, served as one table or as many small ones to walk.

mod directory;
mod encode;
mod hosts;
mod layout;
mod order;
mod paths;
mod places;
mod shown;
mod version;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use proto::{ArcStr, ContentHash};
use rustc_hash::FxHashMap;

use crate::piece::{Content, Piece, Verdict};
pub(crate) use encode::scope as encode_scope;
use hosts::{Hosts, Touch, part};
use layout::{Changes, Layout, TableId, name};
pub(crate) use order::{Change, Had};
pub use shown::{WholeTable, whole_tables};
use version::Routed;
pub(crate) use version::TableVersion;
use whole::Whole;

/// So many pieces are looked up in a table one by one, instead of the table's in theirs.
const FEW: usize = 16;

/// A piece of a listener's routes: domain and object; the virtual host itself has no object, what all
/// tables begin with no domain either.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PieceId {
    pub(crate) domain: ArcStr,
    pub(crate) route: ArcStr,
}

/// A table as it is served.
#[derive(Debug)]
struct Table {
    name: ArcStr,
    /// None while it is to be computed or if there is nothing to begin it with.
    version: Option<ContentHash>,
    /// Of a table that proxies walk.
    made: Option<Arc<TableVersion>>,
    /// Of the whole table, if somebody has asked for it.
    body: Option<Bytes>,
    seq: u64,
}

/// All tables of a listener, or of all its listeners of a port that share them.
#[derive(Debug)]
pub(crate) struct RouteTables {
    name: ArcStr,
    /// Routes that a table has at the most, if it can be split.
    limit: usize,
    pieces: BTreeMap<PieceId, Piece>,
    unproven: BTreeSet<PieceId>,
    /// Pieces of which nothing is served.
    left_out: BTreeSet<PieceId>,
    hosts: Hosts,
    layout: Layout,
    /// The virtual hosts of the whole table, if somebody wants it.
    whole: Option<Whole>,
    tables: BTreeMap<TableId, Table>,
    ids: FxHashMap<ArcStr, TableId>,
    /// Changes since the last [`RouteTables::settle`], by domain.
    touched: BTreeMap<ArcStr, Touch>,
    all_touched: bool,
}

impl RouteTables {
    /// No routes yet; `whole` if a proxy wants them in one table.
    pub(crate) fn new(name: ArcStr, limit: usize, whole: bool) -> Self {
        let mut tables = RouteTables {
            name,
            limit,
            pieces: BTreeMap::new(),
            unproven: BTreeSet::new(),
            left_out: BTreeSet::new(),
            hosts: Hosts::default(),
            layout: Layout::default(),
            whole: whole.then(Whole::default),
            tables: BTreeMap::new(),
            ids: FxHashMap::default(),
            touched: BTreeMap::new(),
            all_touched: true,
        };
        if whole {
            tables.add(TableId::Whole);
        }
        tables
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// True if there are such routes at all, served or not.
    pub(crate) fn has_header(&self) -> bool {
        self.pieces.contains_key(&PieceId::HEADER)
    }

    /// Names of the tables that proxies walk.
    pub(crate) fn names(&self) -> impl Iterator<Item = &ArcStr> {
        self.tables.iter().filter(|(id, _)| **id != TableId::Whole).map(|(_, table)| &table.name)
    }

    /// True if there is a table of this name.
    pub(crate) fn has(&self, table: &str) -> bool {
        self.has_header() && self.ids.contains_key(table)
    }

    /// Version of a table, and the position of its last change; none if there is nothing to serve.
    pub(crate) fn version(&self, table: &str) -> Option<(ContentHash, u64)> {
        let table = self.tables.get(self.ids.get(table)?)?;
        Some((table.version?, table.seq))
    }

    /// Somebody asks for all routes in one table; from now on it is kept up to date.
    pub(crate) fn want_whole(&mut self, seq: u64) {
        if self.whole.is_none() {
            self.whole = Some(Whole::default());
            self.add(TableId::Whole);
            let all: Vec<ArcStr> = self.hosts.served().cloned().collect();
            self.refresh_whole(all.iter(), seq);
        }
    }

    /// A table that proxies walk, as it is now.
    pub(crate) fn table(&self, table: &str) -> Option<&Arc<TableVersion>> {
        self.tables.get(self.ids.get(table)?)?.made.as_ref()
    }

    /// All pieces.
    pub(crate) fn piece_ids(&self) -> impl Iterator<Item = &PieceId> {
        self.pieces.keys()
    }

    pub(crate) fn piece(&self, id: &PieceId) -> Option<&Piece> {
        self.pieces.get(id)
    }

    /// Pieces of a table that no proxy has judged.
    pub(crate) fn unproven(&self, table: &str) -> Vec<PieceId> {
        let Some(id) = self.ids.get(table) else { return Vec::new() };
        if self.unproven.len() > FEW {
            return self.members(table).into_iter().filter(|piece| self.unproven.contains(piece)).collect();
        }
        self.unproven.iter().filter(|piece| self.is_in(piece, id)).cloned().collect()
    }

    /// True if a table has a piece, or would have it if it were served.
    pub(crate) fn may_have(&self, table: &str, piece: &PieceId) -> bool {
        let id = self.ids.get(table);
        let is_home = |id: &TableId| *id == TableId::Whole || self.layout.home(&piece.domain) == *id;
        id.is_some_and(|id| is_home(id) || self.is_in(piece, id))
    }

    /// True if a piece would be in some table if it were served: nothing is without a header, and routes are not
    /// without a virtual host.
    pub(crate) fn has_place_for(&self, piece: &PieceId) -> bool {
        let has_host = || piece.route.is_empty() || self.hosts.has_place_for(&piece.domain);
        *piece == PieceId::HEADER || self.header().is_some() && has_host()
    }

    /// Domains of a table in the order of its virtual hosts on the wire.
    pub(crate) fn domains(&self, table: &str) -> Vec<ArcStr> {
        self.ids.get(table).map_or_else(Vec::new, |id| self.layout.domains(id, &self.hosts))
    }

    /// Suspects that are left out, because no version of them is known to be good.
    pub(crate) fn suspects_left_out(&self) -> impl Iterator<Item = PieceId> + '_ {
        let is_suspect =
            |id: &&PieceId| self.pieces.get(id).is_some_and(|one| one.verdict() == Verdict::Suspect);
        self.left_out.iter().filter(is_suspect).cloned()
    }

    /// The one virtual host that a proxy with this version lacks of what is served.
    pub(crate) fn lacking(&self, table: &str, version: ContentHash) -> Option<ArcStr> {
        let id = self.ids.get(table)?;
        let now = self.tables.get(id)?.version?;
        if *id == TableId::Whole {
            return self.whole.as_ref()?.part_that(|part| now.without(part) == version);
        }
        self.table(table)?.lacking(version)
    }

    /// True if a table would have a piece without one of its virtual hosts, too.
    pub(crate) fn is_beside(&self, table: &str, piece: &PieceId, host: &str) -> bool {
        if piece.route.is_empty() {
            return piece.domain != host;
        }
        let is_here = |one: &ArcStr| {
            self.ids.get(table).is_some_and(|id| *id == TableId::Whole || self.layout.home(one) == *id)
        };
        self.hosts.with_routes_of(&piece.domain).iter().any(|one| one != host && is_here(one))
    }

    /// Adds a piece that was not there.
    pub(crate) fn add_piece(&mut self, id: PieceId, content: Content, seq: u64) {
        let piece = Piece::new(content, seq);
        self.take_over(&id, None, piece.served());
        self.unproven.insert(id.clone());
        self.pieces.insert(id, piece);
    }

    /// Removes a piece and returns it; what is served may have changed.
    pub(crate) fn remove_piece(&mut self, id: &PieceId) -> Option<Piece> {
        let piece = self.pieces.remove(id)?;
        self.take_over(id, piece.served(), None);
        self.unproven.remove(id);
        self.left_out.remove(id);
        Some(piece)
    }

    /// Changes a piece; true if what is served changed, which then is change number `seq`.
    pub(crate) fn change(&mut self, id: &PieceId, seq: u64, edit: impl FnOnce(&mut Piece)) -> bool {
        let Some((id, mut piece)) = self.pieces.remove_entry(id) else { return false };
        let before = piece.served().cloned();
        edit(&mut piece);
        let changed = before.as_ref().map(|one| one.version) != piece.served().map(|one| one.version);
        if changed {
            self.take_over(&id, before.as_ref(), piece.served());
            piece.seq = seq;
        }
        match piece.verdict() {
            Verdict::Unproven => self.unproven.insert(id.clone()),
            _ => self.unproven.remove(&id),
        };
        match piece.served() {
            None => self.left_out.insert(id.clone()),
            Some(_) => self.left_out.remove(&id),
        };
        self.pieces.insert(id, piece);
        changed
    }

    /// Brings the tables up to date with the pieces; names of those that came, went or changed.
    pub(crate) fn settle(&mut self, seq: u64) -> Vec<ArcStr> {
        let mut changes = Changes::default();
        let hosts = self.spread();
        for (domain, touch) in &hosts {
            self.layout.settle(domain, touch, self.limit, &self.hosts, &mut changes);
        }
        changes.dirty.extend(hosts.keys().map(|domain| self.layout.home(domain)));
        let mut touched = Vec::new();
        let all = std::mem::take(&mut self.all_touched);
        if changes.structure || all {
            self.restructure(&mut changes, &mut touched);
        }
        if all {
            changes.dirty.extend(self.tables.keys().filter(|id| **id != TableId::Whole).cloned());
        }
        for id in changes.dirty {
            if !self.refresh(&id, seq) {
                continue;
            }
            touched.extend(self.tables.get(&id).map(|table| table.name.clone()));
        }
        if self.refresh_whole(hosts.keys(), seq) {
            touched.push(self.name.clone());
        }
        touched
    }

    /// The encoded `RouteConfiguration`.
    pub(crate) fn body(&mut self, table: &str) -> Option<Bytes> {
        let id = self.ids.get(table)?.clone();
        let table = self.tables.get(&id)?;
        if id != TableId::Whole {
            return Some(table.made.as_ref()?.body.clone());
        }
        if table.body.is_some() {
            return table.body.clone();
        }
        // Put together only when somebody asks: a memcpy, but of all there is.
        let body = self.whole.as_ref()?.body(&self.header()?.body);
        self.tables.get_mut(&id)?.body = Some(body.clone());
        Some(body)
    }

    fn take_over(&mut self, id: &PieceId, before: Option<&Content>, after: Option<&Content>) {
        if id.domain.is_empty() {
            self.all_touched = true;
            return;
        }
        let touch = self.hosts.change(&id.domain, &id.route, before, after);
        self.touched.entry(id.domain.clone()).or_default().merge(&touch);
    }

    /// The virtual hosts that the changes concern: a wide domain's routes are in those of all narrower ones.
    fn spread(&mut self) -> BTreeMap<ArcStr, Touch> {
        let mut hosts: BTreeMap<ArcStr, Touch> = BTreeMap::new();
        for (domain, touch) in std::mem::take(&mut self.touched) {
            for host in self.hosts.with_routes_of(&domain) {
                hosts.entry(host).or_default().merge(&touch);
            }
            // Also if it is gone.
            hosts.entry(domain).or_default().merge(&touch);
        }
        hosts
    }

    /// Adds and removes tables as the layout says.
    fn restructure(&mut self, changes: &mut Changes, touched: &mut Vec<ArcStr>) {
        let wanted = self.layout.tables();
        let gone: Vec<TableId> =
            self.tables.keys().filter(|id| **id != TableId::Whole && !wanted.contains(id)).cloned().collect();
        for id in gone {
            if let Some(table) = self.tables.remove(&id) {
                self.ids.remove(&table.name);
                touched.push(table.name);
            }
        }
        changes.dirty.extend(self.layout.directories());
        for id in wanted {
            if !self.tables.contains_key(&id) {
                self.add(id.clone());
                changes.dirty.insert(id);
            }
        }
    }

    fn add(&mut self, id: TableId) {
        let name = ArcStr::from(name(&self.name, &id));
        self.ids.insert(name.clone(), id.clone());
        self.tables.insert(id, Table { name, version: None, made: None, body: None, seq: 0 });
    }

    /// Makes a table anew; true if it is another than before.
    fn refresh(&mut self, id: &TableId, seq: u64) -> bool {
        let made = self.header().map(|header| Arc::new(self.make(id, &header.body)));
        let version = made.as_ref().map(|made| made.version);
        let Some(table) = self.tables.get_mut(id) else { return false };
        let changed = table.version != version;
        if changed {
            (table.version, table.made, table.seq) = (version, made, seq);
        }
        changed
    }

    /// Takes virtual hosts into the table that has all of them; true if it is another than before.
    fn refresh_whole<'a>(&mut self, domains: impl Iterator<Item = &'a ArcStr>, seq: u64) -> bool {
        let Some(whole) = &mut self.whole else { return false };
        for domain in domains {
            whole.put(domain, self.hosts.encode(domain, None));
        }
        let version = self.header().map(|header| part("", &header.body));
        let version = version.zip(self.whole.as_ref()).map(|(header, whole)| whole.version().with(header));
        let Some(table) = self.tables.get_mut(&TableId::Whole) else { return false };
        let changed = table.version != version;
        if changed {
            (table.version, table.body, table.seq) = (version, None, seq);
        }
        changed
    }

    fn make(&self, id: &TableId, header: &[u8]) -> TableVersion {
        let part = Layout::part(id);
        let host = |domain: ArcStr| {
            let step = self.layout.step(id, &domain, &self.name);
            let body = match &step {
                Some(step) => self.hosts.encode_with(&domain, &encode::stub(step))?,
                None => self.hosts.encode(&domain, part)?,
            };
            Some((domain, Routed { body: body.into(), step: step.map(Arc::new) }))
        };
        let hosts = self.layout.domains(id, &self.hosts).into_iter().filter_map(host);
        let otherwise = self.layout.otherwise(id, &self.name);
        TableVersion::new(id.clone(), &name(&self.name, id), header, hosts, otherwise)
    }

    /// True if a table is made of a piece, among others: one of [`RouteTables::members`].
    fn is_in(&self, piece: &PieceId, table: &TableId) -> bool {
        let PieceId { domain, route } = piece;
        match table {
            _ if *piece == PieceId::HEADER => true,
            TableId::Whole => self.hosts.has_place_for(domain),
            TableId::Paths(host, _) if route.is_empty() => host == domain,
            TableId::Paths(host, _) => {
                let members = || self.hosts.members(host, Layout::part(table));
                let member = (domain.clone(), route.clone());
                self.hosts.has_routes_of(host, domain) && members().binary_search(&member).is_ok()
            }
            _ if route.is_empty() => self.hosts.is_served(domain) && self.layout.home(domain) == *table,
            _ => {
                // A domain of which all routes are elsewhere has but a stub here.
                let has_routes = |host: &ArcStr| self.layout.step(table, host, &self.name).is_none();
                let hosts = self.hosts.with_routes_of(domain);
                hosts.iter().any(|host| self.layout.home(host) == *table && has_routes(host))
            }
        }
    }

    /// The pieces that a table is made of.
    fn members(&self, table: &str) -> Vec<PieceId> {
        let Some(id) = self.ids.get(table) else { return Vec::new() };
        let part = Layout::part(id);
        let mut members = vec![PieceId::HEADER];
        for domain in self.layout.domains(id, &self.hosts) {
            if self.layout.step(id, &domain, &self.name).is_none() {
                let routes = self.hosts.members(&domain, part).into_iter();
                members.extend(routes.map(|(domain, route)| PieceId { domain, route }));
            }
            members.push(PieceId { domain, route: ArcStr::new() });
        }
        members
    }

    fn header(&self) -> Option<&Content> {
        self.pieces.get(&PieceId::HEADER)?.served()
    }
}

impl PieceId {
    /// What all tables begin with.
    pub(crate) const HEADER: PieceId = PieceId { domain: ArcStr::new(), route: ArcStr::new() };
}

#[cfg(test)]
mod tests;
