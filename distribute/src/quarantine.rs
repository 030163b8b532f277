//! Telling bad pieces from good ones that were refused together.

use std::collections::{BTreeMap, BTreeSet};

use proto::{ArcStr, ContentHash, XdsKey, XdsKind};

use crate::resource::{ResourceId, ResourceType};

/// One open stream of a proxy; 0 is none.
pub(crate) type ProxyId = u64;

/// A version of a piece.
pub(crate) type Entry = (XdsKey, ContentHash);

/// What proxies of a scope refuse.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    pub(crate) trials: BTreeMap<ResourceType, Trials>,
    /// Pieces of which the newest version is not served, of listeners and route tables.
    pub(crate) routing: BTreeSet<XdsKey>,
    /// Who suspects a piece, or refused it alone: that ends when the proxy is gone.
    pub(crate) owners: BTreeMap<XdsKey, ProxyId>,
    /// Proxies that lack what others may have: by circumstance, or against what others said.
    pub(crate) dissents: BTreeMap<XdsKey, BTreeSet<ProxyId>>,
    /// Resources of proxies whose stream ended, by `node.id`, that may not be what these say that they are: of a
    /// refused push, Envoy counts nothing as received, though it may have applied a part.
    pub(crate) doubts: BTreeMap<ArcStr, BTreeMap<ResourceId, Option<ContentHash>>>,
}

impl Quarantine {
    /// True if every piece is served in its newest version.
    pub(crate) fn is_empty(&self) -> bool {
        self.routing.is_empty() && self.owners.is_empty()
    }
}

/// Suspects of a type, in groups that are tried one after the other, each on top of what is known to be good: a
/// group that is ACKed is good, one that is NACKed is split, so one bad piece among n costs about 2 log n pushes.
#[derive(Debug, Default)]
pub(crate) struct Trials {
    /// The group being served on trial.
    pub(crate) active: Vec<Entry>,
    /// The proxy whose answer is awaited.
    pub(crate) judge: ProxyId,
    /// Groups to try, last first.
    pub(crate) queue: Vec<Vec<Entry>>,
}

impl Trials {
    /// Queues the halves of a refused group. The headers of tables come first and alone: without one nothing
    /// of its table can be served.
    pub(crate) fn split(&mut self, group: Vec<Entry>) {
        let is_header = |(key, _): &Entry| key.kind == XdsKind::RouteTable;
        let (headers, mut group): (Vec<_>, Vec<_>) = group.into_iter().partition(is_header);
        let half = group.split_off(group.len().div_ceil(2));
        self.queue.extend([half, group].into_iter().filter(|part| !part.is_empty()));
        self.queue.extend(headers.into_iter().map(|header| vec![header]));
    }
}
