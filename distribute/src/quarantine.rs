//! Telling bad pieces from good ones that were refused together.

use proto::{ArcStr, ContentHash, XdsKey};

use crate::resource::ResourceType;

/// Where refusals can be told apart on their own: a listener's routes, or all resources of another type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lane {
    pub(crate) kind: ResourceType,
    /// Name of the listener's routes, else empty: tables come and go.
    pub(crate) routes: ArcStr,
}

impl Lane {
    pub(crate) fn of(kind: ResourceType, name: &ArcStr) -> Self {
        let routes = match kind {
            ResourceType::Route => lookup::routes_of(name).map_or_else(|| name.clone(), ArcStr::from),
            _ => ArcStr::new(),
        };
        Lane { kind, routes }
    }
}

/// Suspects of a lane, in groups: a group that is ACKed is good, one that is NACKed is split, so one bad
/// piece among n costs about 2 log n pushes.
#[derive(Debug, Default)]
pub(crate) struct Trials {
    /// The group being served on trial.
    pub(crate) active: Vec<(XdsKey, ContentHash)>,
    /// Groups to try, last first.
    pub(crate) queue: Vec<Vec<(XdsKey, ContentHash)>>,
}

impl Trials {
    /// Queues the halves of a refused group. A table's header comes first and alone: without it nothing
    /// of the table can be served.
    pub(crate) fn split(&mut self, mut group: Vec<(XdsKey, ContentHash)>) {
        let is_header = |(key, _): &(XdsKey, ContentHash)| key.kind == proto::XdsKind::RouteTable;
        let header = group.iter().position(is_header).map(|at| group.remove(at));
        let half = group.split_off(group.len().div_ceil(2));
        self.queue.extend([half, group].into_iter().filter(|part| !part.is_empty()));
        self.queue.extend(header.map(|entry| vec![entry]));
    }
}
