//! What the watches tell, put together into batches.

use proto::{Change, ClusterId, Epoch, Event, ResourceKey};
use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::objects::Update;
use super::waiting::Waiting;
use crate::kinds::KINDS;
use crate::source::{order, unix_nanos};
use crate::{Batch, SourceFault};

/// Updates that are taken at once at most.
const MANY: usize = 1024;

/// What has been told and not yet sent.
pub(super) struct Batches {
    cluster: ClusterId,
    epoch: Epoch,
    /// By watch: whether it has listed everything, and its faults.
    watches: Vec<(bool, Vec<SourceFault>)>,
    /// The newest event of each object.
    pending: FxHashMap<ResourceKey, Event>,
    waiting: Waiting,
    reported: Vec<SourceFault>,
    /// True once the first complete listing is on its way.
    listed: bool,
}

impl Batches {
    /// For a number of watches. `orphans` are deletions of objects that no watch is about.
    pub(super) fn new(cluster: ClusterId, epoch: Epoch, watches: usize, orphans: Vec<Event>) -> Batches {
        let pending = orphans.into_iter().map(|event| (event.key.clone(), event)).collect();
        let watches = vec![(false, Vec::new()); watches];
        let waiting = Waiting::default();
        Batches { cluster, epoch, watches, pending, waiting, reported: Vec::new(), listed: false }
    }

    /// Takes what one watch tells.
    pub(super) fn take(&mut self, watch: usize, update: Update) {
        self.pending.extend(update.events.into_iter().map(|event| (event.key.clone(), event)));
        let Some((listed, faults)) = self.watches.get_mut(watch) else { return };
        *listed |= update.listed;
        if let Some(update) = update.faults {
            *faults = update;
        }
    }

    /// What is to be sent now. Events wait for the first complete listing: what is referred to must not
    /// come after what refers to it.
    pub(super) fn batch(&mut self) -> Option<Batch> {
        let mut batch = Batch { faults: self.changed_faults(), ..Batch::default() };
        let complete = self.listed || self.watches.iter().all(|(listed, _)| *listed);
        if complete {
            let (deletes, upserts) = self
                .pending
                .drain()
                .map(|(_, event)| event)
                .partition(|event| event.change == Change::Delete);
            let events = order(upserts, deletes);
            if self.listed {
                batch.events = self.waiting.pass(events, Instant::now());
            } else {
                self.waiting.listed(&events);
                batch.events = events;
                let observed = unix_nanos();
                batch.events.extend(KINDS.iter().map(|known| {
                    Event::synced(self.cluster.clone(), known.kind.clone(), self.epoch, Epoch(0), observed)
                }));
                batch.listed = true;
                self.listed = true;
            }
        } else {
            // Nobody writes faults into the log before the listing is complete, and these may be why.
            batch.faults.iter().flatten().for_each(|fault| tracing::warn!("{fault}"));
        }
        (!batch.events.is_empty() || batch.faults.is_some()).then_some(batch)
    }

    fn changed_faults(&mut self) -> Option<Vec<SourceFault>> {
        let mut faults: Vec<SourceFault> =
            self.watches.iter().flat_map(|(_, faults)| faults.iter().cloned()).collect();
        faults.sort_unstable();
        // Every watch may say the same of the server.
        faults.dedup();
        if faults == self.reported {
            return None;
        }
        self.reported.clone_from(&faults);
        Some(faults)
    }

    /// Sends batches until either end is gone. While the receiver is busy, what comes is put together.
    pub(super) async fn run(
        mut self,
        mut updates: mpsc::Receiver<(usize, Update)>,
        batches: mpsc::Sender<Batch>,
    ) {
        let mut taken = Vec::new();
        loop {
            let wake = self.waiting.wake();
            let waited = async {
                match wake {
                    Some(wake) => sleep_until(wake).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                first = updates.recv() => match first {
                    Some((watch, update)) => self.take(watch, update),
                    None => return,
                },
                () = waited => {}
                () = batches.closed() => return,
            }
            let Ok(permit) = batches.reserve().await else { return };
            while !updates.is_empty() && updates.recv_many(&mut taken, MANY).await > 0 {
                taken.drain(..).for_each(|(watch, update)| self.take(watch, update));
            }
            if let Some(batch) = self.batch() {
                permit.send(batch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Batches, Update};
    use crate::Known;
    use crate::kubernetes::source::objects::deletion;
    use proto::{Change, ClusterId, Epoch, Event, Kind, ResourceKey};

    fn event(kind: Kind, name: &str, there: bool) -> Event {
        let key = ResourceKey::local(kind, "default", name);
        let known = Known {
            key,
            resource_version: String::new(),
            generation: 1,
            spec_hash: None,
            payload_hash: None,
            without_key: None,
        };
        let gone = deletion(known, Epoch(1));
        if there { Event { change: Change::Upsert("{}".into()), ..gone } } else { gone }
    }

    fn names(events: &[Event]) -> Vec<String> {
        let events = events.iter().filter(|event| !matches!(event.change, Change::Synced { .. }));
        events
            .map(|e| format!("{}{}", if e.change == Change::Delete { "-" } else { "+" }, e.key.name))
            .collect()
    }

    #[test]
    fn events_wait_for_the_whole_listing_and_then_go_in_order() {
        let mut batches =
            Batches::new(ClusterId::LOCAL, Epoch(1), 2, vec![event(Kind::SERVICE, "orphan", false)]);
        let route = event(Kind::HTTP_ROUTE, "route", true);
        batches.take(0, Update { events: vec![route], faults: None, listed: true });
        assert_eq!(batches.batch(), None);
        let service = event(Kind::SERVICE, "service", true);
        batches.take(1, Update { events: vec![service], faults: None, listed: true });
        let batch = batches.batch().unwrap();
        assert!(batch.listed);
        assert_eq!(names(&batch.events), ["+service", "+route", "-orphan"]);
        assert_eq!(batch.events.len(), 3 + crate::kinds::KINDS.len());
    }

    #[test]
    fn the_newest_event_of_an_object_counts() {
        let mut batches = Batches::new(ClusterId::LOCAL, Epoch(1), 1, Vec::new());
        batches.take(0, Update { listed: true, ..Update::default() });
        assert!(batches.batch().unwrap().listed);
        let events = [("a", true), ("a", false), ("b", false), ("b", true)];
        let events = events.map(|(name, there)| event(Kind::SERVICE, name, there)).into();
        batches.take(0, Update { events, ..Update::default() });
        let batch = batches.batch().unwrap();
        assert_eq!((names(&batch.events), batch.listed), (vec!["+b".to_owned(), "-a".to_owned()], false));
    }
}
