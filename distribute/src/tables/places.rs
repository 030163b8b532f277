//! Which table a domain is in, as the stubs of the root and of the wildcards say.

use std::collections::{BTreeMap, BTreeSet};

use lookup::{Leaf, Leaves, Step, hash};

use super::layout::TableId;
use super::version::TableVersion;

/// How narrow a domain is: of those that cover a host, the one with the highest level routes it, and on each
/// level there is but one.
pub(super) type Level = usize;

/// The level of domains without a wildcard.
pub(super) const EXACT: Level = usize::MAX;

/// Where the domains of a listener are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Places {
    /// All in the root.
    Root,
    /// Exact ones by their hashes.
    Tables { exact: Leaves, wide: Wide },
}

/// Where wildcards and `*` are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wide {
    /// In one table.
    Together,
    /// By labels and hash; `*` in a table of its own.
    Apart(BTreeMap<Level, Leaves>),
}

/// The level of a domain.
pub(super) fn level(domain: &str) -> Level {
    match domain.strip_prefix("*.") {
        Some(suffix) => lookup::labels(suffix.as_bytes()),
        None if domain == "*" => 0,
        None => EXACT,
    }
}

impl Places {
    /// As the root and the table of the wildcards say.
    pub(super) fn of(root: Option<&TableVersion>, wildcard: Option<&TableVersion>) -> Places {
        let Some(Step::Hosts { leaves, .. }) = root.and_then(|table| table.otherwise.as_ref()) else {
            return Places::Root;
        };
        let wide = match wildcard.and_then(|table| table.otherwise.as_ref()) {
            Some(Step::Suffixes { levels, .. }) => Wide::Apart(levels.iter().cloned().collect()),
            Some(_) => Wide::Apart(BTreeMap::new()),
            None => Wide::Together,
        };
        Places::Tables { exact: leaves.clone(), wide }
    }

    /// The table of a domain; none if there is none for domains of its level.
    pub(super) fn home(&self, domain: &str) -> Option<TableId> {
        let Places::Tables { exact, wide } = self else { return Some(TableId::Root) };
        match (level(domain), wide) {
            (EXACT, _) => Some(TableId::Hosts(exact.find(hash(domain.as_bytes())))),
            (_, Wide::Together) => Some(TableId::Wildcard),
            (0, Wide::Apart(_)) => Some(TableId::Any),
            (labels, Wide::Apart(levels)) => {
                let leaf = levels.get(&labels)?.find(hash(domain.strip_prefix("*.")?.as_bytes()));
                Some(TableId::Suffixes(labels, leaf))
            }
        }
    }

    /// All tables of domains.
    pub(super) fn tables(&self) -> BTreeSet<TableId> {
        let mut tables = BTreeSet::from([TableId::Root]);
        let Places::Tables { exact, wide } = self else { return tables };
        tables.insert(TableId::Wildcard);
        tables.extend(exact.iter().map(TableId::Hosts));
        if let Wide::Apart(levels) = wide {
            tables.insert(TableId::Any);
            let leaves = |(labels, leaves): (&usize, &Leaves)| -> Vec<TableId> {
                leaves.iter().map(|leaf| TableId::Suffixes(*labels, leaf)).collect()
            };
            tables.extend(levels.iter().flat_map(leaves));
        }
        tables
    }

    /// True if requests come to a table of domains.
    pub(super) fn has(&self, table: &TableId) -> bool {
        let has = |leaves: &Leaves, leaf: &Leaf| leaves.find(leaf.start) == *leaf;
        match (table, self) {
            (TableId::Root, _) | (TableId::Wildcard, Places::Tables { .. }) => true,
            (TableId::Hosts(leaf), Places::Tables { exact, .. }) => has(exact, leaf),
            (TableId::Any, Places::Tables { wide: Wide::Apart(_), .. }) => true,
            (TableId::Suffixes(labels, leaf), Places::Tables { wide: Wide::Apart(levels), .. }) => {
                levels.get(labels).is_some_and(|leaves| has(leaves, leaf))
            }
            _ => false,
        }
    }
}
