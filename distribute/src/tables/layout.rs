//! Which tables a listener's virtual hosts are kept in.
//!
//! ```text
//! small    root: all hosts
//!
//! large    root ──hash of host──▶ host/BITS: exact domains ──no such host──▶ wildcard
//!          wildcard: all wildcards and `*`, or if these are many
//!          wildcard ──hash of a suffix of LABELS──▶ wildcard/LABELS/BITS ──no such host──▶ wildcard, fewer LABELS
//!                   └─no suffix left──▶ any: `*`
//! big host HOST ──hash of path segment──▶ path/HOST/BITS, or with more segments path/HOST/HASH/.../BITS
//!          of a segment with a directory of its own: path/HOST/BITS- for other paths of its leaf
//! ```

use std::collections::{BTreeMap, BTreeSet};

use lookup::{Leaf, REST, SEPARATOR, Step, hash, push_hash};
use proto::ArcStr;

use super::directory::{Directory, Load};
use super::hosts::{Hosts, Part, Touch};
use super::paths::{PathDirectory, Routes};

/// A table of a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TableId {
    /// All in one, for proxies that do not walk.
    Whole,
    /// Where a walk begins.
    Root,
    /// Exact domains with these hashes.
    Hosts(Leaf),
    /// Where hosts go that are no exact domain.
    Wildcard,
    /// Wildcards whose suffixes have so many labels and these hashes. Of one number only: beside a suffix that
    /// is not there, a shorter one would match too early.
    Suffixes(usize, Leaf),
    /// Where hosts go that no wildcard covers.
    Any,
    /// Routes of a domain for some paths.
    Paths(ArcStr, Part),
}

/// Domains by a hash, and the directory of their tables.
#[derive(Debug, Default)]
struct Ring {
    members: BTreeMap<(u32, ArcStr), usize>,
    weight: usize,
    directory: Directory,
}

/// The layout of a listener's tables.
#[derive(Debug, Default)]
pub(super) struct Layout {
    exact: Ring,
    /// By the number of labels of their suffixes.
    wildcards: BTreeMap<usize, Ring>,
    /// Weight of `*`.
    any: usize,
    /// Directories of domains with many routes.
    big: BTreeMap<ArcStr, PathDirectory>,
    /// True while it takes more than one table.
    large: bool,
    /// True while wildcards have tables of their own.
    split_wildcards: bool,
}

/// What a change of the layout asks for.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Tables whose content may be another.
    pub(super) dirty: BTreeSet<TableId>,
    /// True if there are other tables than before.
    pub(super) structure: bool,
}

impl Layout {
    /// Brings the layout up to date for one virtual host of which something changed. Its [`Layout::home`] is known
    /// when this has been done for all of them.
    pub(super) fn settle(
        &mut self,
        domain: &ArcStr,
        touch: &Touch,
        limit: usize,
        hosts: &Hosts,
        changes: &mut Changes,
    ) {
        let served = hosts.is_served(domain);
        let count = if served { hosts.count(domain) } else { 0 };
        let (paths, differ) = hosts.paths(domain);
        let is_big = served && differ && paths > limit;
        if is_big {
            self.settle_big(touch, Routes { hosts, domain, limit }, changes);
        } else {
            changes.structure |= self.big.remove(domain).is_some();
        }
        let weight = if is_big { 1 } else { 1 + count };
        self.weigh(domain, served.then_some(weight), limit, changes);
    }

    fn settle_big(&mut self, touch: &Touch, routes: Routes<'_>, changes: &mut Changes) {
        let directory = match self.big.get_mut(routes.domain) {
            None => {
                changes.structure = true;
                self.big.entry(routes.domain.clone()).or_insert_with(|| PathDirectory::of(routes, &[]))
            }
            Some(directory) => {
                for path in &touch.paths {
                    changes.structure |= directory.refit(routes, path);
                }
                directory
            }
        };
        let mut parts = BTreeSet::new();
        if touch.all {
            parts = directory.parts();
        } else {
            touch.paths.iter().for_each(|path| directory.parts_of(path, &mut parts));
        }
        changes.dirty.extend(parts.into_iter().map(|part| TableId::Paths(routes.domain.clone(), part)));
    }

    /// Notes the weight of a domain, none if it is gone.
    fn weigh(&mut self, domain: &ArcStr, weight: Option<usize>, limit: usize, changes: &mut Changes) {
        if domain == "*" {
            self.any = weight.unwrap_or(0);
        } else if let Some(suffix) = domain.strip_prefix("*.") {
            let labels = lookup::labels(suffix.as_bytes());
            let ring = self.wildcards.entry(labels).or_default();
            // Also a number of labels that no wildcard had, or has any more.
            changes.structure |= ring.members.is_empty();
            changes.structure |= ring.weigh(hash(suffix.as_bytes()), domain, weight, limit);
            if ring.members.is_empty() {
                changes.structure = true;
                self.wildcards.remove(&labels);
            }
            changes.dirty.insert(TableId::Wildcard);
        } else {
            changes.structure |= self.exact.weigh(hash(domain.as_bytes()), domain, weight, limit);
        }
        let wide = self.any + self.wildcards.values().map(|ring| ring.weight).sum::<usize>();
        let (large, split) = (self.exact.weight + wide > limit, wide > limit);
        changes.structure |= large != self.large || split != self.split_wildcards;
        (self.large, self.split_wildcards) = (large, split);
    }

    /// The table that has a domain, or had it.
    pub(super) fn home(&self, domain: &ArcStr) -> TableId {
        if !self.large {
            return TableId::Root;
        }
        match domain.strip_prefix("*.") {
            None if domain == "*" => {
                if self.split_wildcards {
                    TableId::Any
                } else {
                    TableId::Wildcard
                }
            }
            None => TableId::Hosts(self.exact.directory.find(hash(domain.as_bytes()))),
            Some(_) if !self.split_wildcards => TableId::Wildcard,
            Some(suffix) => {
                let labels = lookup::labels(suffix.as_bytes());
                let ring = self.wildcards.get(&labels);
                let leaf = ring.map_or(Leaf::ALL, |ring| ring.directory.find(hash(suffix.as_bytes())));
                TableId::Suffixes(labels, leaf)
            }
        }
    }

    /// All tables that proxies walk.
    pub(super) fn tables(&self) -> BTreeSet<TableId> {
        let mut tables = BTreeSet::from([TableId::Root]);
        if self.large {
            tables.insert(TableId::Wildcard);
            tables.extend(self.exact.directory.iter().map(TableId::Hosts));
            if self.split_wildcards {
                tables.insert(TableId::Any);
                for (labels, ring) in &self.wildcards {
                    tables.extend(ring.directory.iter().map(|leaf| TableId::Suffixes(*labels, leaf)));
                }
            }
        }
        for (domain, directory) in &self.big {
            tables.extend(directory.parts().into_iter().map(|part| TableId::Paths(domain.clone(), part)));
        }
        tables
    }

    /// Tables that name others; they may change with the structure.
    pub(super) fn directories(&self) -> impl Iterator<Item = TableId> {
        let homes = self.big.keys().map(|domain| self.home(domain));
        [TableId::Root, TableId::Wildcard].into_iter().chain(homes)
    }

    /// The domains of a table, in the order in which they are encoded.
    pub(super) fn domains(&self, table: &TableId, hosts: &Hosts) -> Vec<ArcStr> {
        let any = || (self.any > 0).then(|| proto::literal!("*"));
        match table {
            TableId::Whole => hosts.served().cloned().collect(),
            TableId::Root if !self.large => hosts.served().cloned().collect(),
            TableId::Root => Vec::new(),
            TableId::Hosts(leaf) => self.exact.domains(*leaf).collect(),
            TableId::Wildcard if !self.large || self.split_wildcards => Vec::new(),
            TableId::Wildcard => {
                self.wildcards.values().flat_map(|ring| ring.domains(Leaf::ALL)).chain(any()).collect()
            }
            TableId::Suffixes(labels, leaf) => {
                self.wildcards.get(labels).into_iter().flat_map(|ring| ring.domains(*leaf)).collect()
            }
            TableId::Any => any().into_iter().collect(),
            TableId::Paths(domain, _) => vec![domain.clone()],
        }
    }

    /// Where requests go on that no domain of a table takes.
    pub(super) fn otherwise(&self, table: &TableId, routes: &str) -> Option<Step> {
        let name = |table: &TableId| name(routes, table);
        match table {
            TableId::Root if self.large => Some(Step::Hosts {
                prefix: name(&TableId::Hosts(Leaf::ALL)),
                leaves: self.exact.directory.leaves(),
            }),
            TableId::Hosts(_) | TableId::Suffixes(..) => Some(Step::Table(name(&TableId::Wildcard))),
            TableId::Wildcard if self.split_wildcards && !self.wildcards.is_empty() => Some(Step::Suffixes {
                prefix: format!("{routes}{SEPARATOR}wildcard/"),
                levels: self
                    .wildcards
                    .iter()
                    .rev()
                    .map(|(labels, ring)| (*labels, ring.directory.leaves()))
                    .collect(),
                rest: name(&TableId::Any),
            }),
            TableId::Wildcard if self.split_wildcards => Some(Step::Table(name(&TableId::Any))),
            _ => None,
        }
    }

    /// Where requests of a domain go on, if its routes are not in this table.
    pub(super) fn step(&self, table: &TableId, domain: &ArcStr, routes: &str) -> Option<Step> {
        if matches!(table, TableId::Whole | TableId::Paths(..)) {
            return None;
        }
        let paths = self.big.get(domain)?.paths();
        Some(Step::Paths { prefix: format!("{routes}{SEPARATOR}path/{domain}/"), paths })
    }

    /// The part of a domain's routes that a table has, none if it is all of them.
    pub(super) fn part(table: &TableId) -> Option<&Part> {
        let TableId::Paths(_, part) = table else { return None };
        Some(part)
    }
}

impl Ring {
    /// Notes a weight, none for a domain that is gone; true if the leaves changed.
    fn weigh(&mut self, hash: u32, domain: &ArcStr, weight: Option<usize>, limit: usize) -> bool {
        let before = match weight {
            Some(weight) => self.members.insert((hash, domain.clone()), weight),
            None => self.members.remove(&(hash, domain.clone())),
        };
        if before == weight {
            return false;
        }
        self.weight = self.weight + weight.unwrap_or(0) - before.unwrap_or(0);
        let members = &self.members;
        self.directory.refit(hash, limit, |leaf| {
            let mut load = Load::default();
            range(members, leaf).for_each(|((hash, _), weight)| load.add(*hash, *weight));
            load
        })
    }

    fn domains(&self, leaf: Leaf) -> impl Iterator<Item = ArcStr> {
        range(&self.members, leaf).map(|((_, domain), _)| domain.clone())
    }
}

fn range(
    members: &BTreeMap<(u32, ArcStr), usize>,
    leaf: Leaf,
) -> impl Iterator<Item = (&(u32, ArcStr), &usize)> {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let end = leaf.end().checked_add(1).map_or(Unbounded, |end| Excluded((end, ArcStr::new())));
    members.range((Included((leaf.start, ArcStr::new())), end))
}

/// The name of a table; with the leaf of all hashes, what the names of all leaves begin with.
pub(super) fn name(routes: &str, table: &TableId) -> String {
    let mut name = match table {
        TableId::Whole => return routes.to_owned(),
        TableId::Root => return lookup::root(routes),
        TableId::Wildcard => return format!("{routes}{SEPARATOR}wildcard"),
        TableId::Any => return format!("{routes}{SEPARATOR}any"),
        TableId::Hosts(_) => format!("{routes}{SEPARATOR}host/"),
        TableId::Suffixes(labels, _) => format!("{routes}{SEPARATOR}wildcard/{labels}/"),
        TableId::Paths(domain, _) => format!("{routes}{SEPARATOR}path/{domain}/"),
    };
    if let TableId::Paths(_, part) = table {
        part.start.iter().for_each(|hash| push_hash(*hash, &mut name));
        name.extend(part.next.bits());
        // Another table than the one with the routes, which the old directory leads to until it is replaced.
        if part.rest {
            name.push(REST);
        }
    }
    if let TableId::Hosts(leaf) | TableId::Suffixes(_, leaf) = table {
        name.extend(leaf.bits());
    }
    name
}
