//! A log and a snapshot store in memory: for tests and for runs that keep nothing. What they hold lives
//! as long as one clone of them.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use proto::{Event, ResourceKey, Revision};
use tokio::sync::watch;

use crate::{
    Compaction, Error, EventLog, Loaded, LogId, Snapshot, SnapshotStore,
    index::{IndexEntry, Mark, entry_key, object_prefix, synced_prefix},
    log::{Entry, random_identity},
    record::Prepared,
    retention::{Floor, add_readable, each_group, followed},
};

/// A log in memory. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryLog {
    identity: LogId,
    head: watch::Sender<Revision>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    events: BTreeMap<Revision, Event>,
    index: BTreeMap<Vec<u8>, Mark>,
    floor: Floor,
}

impl MemoryLog {
    /// An empty log.
    ///
    /// # Errors
    /// If the system has no random numbers for its identity.
    pub fn new() -> Result<MemoryLog, Error> {
        let identity = random_identity().map_err(|reason| Error::Storage { dir: "memory".into(), reason })?;
        Ok(MemoryLog { identity, head: watch::Sender::new(Revision::NONE), state: Arc::default() })
    }

    /// The state has no invariant that a panic could break half-way: appends prepare first.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_head(&self) -> Revision {
        *self.head.borrow()
    }
}

impl State {
    fn entries(&self) -> impl Iterator<Item = Result<IndexEntry, Error>> {
        self.index.iter().filter_map(|(key, mark)| IndexEntry::decode(key, &mark.encode())).map(Ok)
    }

    fn followed(&self, key: &ResourceKey, revision: Revision) -> Result<Vec<Revision>, Error> {
        let entries = [object_prefix(key)?, synced_prefix(key)?].map(|prefix| {
            let range = entry_key(&prefix, Revision::NONE)..=entry_key(&prefix, Revision(u64::MAX));
            self.index.range(range).filter_map(|(key, mark)| IndexEntry::decode(key, &mark.encode())).map(Ok)
        });
        followed(entries.into_iter().flatten(), revision)
    }

    fn of_object(&self, key: &ResourceKey) -> Result<impl DoubleEndedIterator<Item = Entry>, Error> {
        let object = object_prefix(key)?;
        let range = entry_key(&object, Revision::NONE)..=entry_key(&object, Revision(u64::MAX));
        Ok(self.index.range(range).filter_map(|(key, mark)| {
            let revision = IndexEntry::decode(key, &mark.encode())?.revision;
            Some((revision, self.events.get(&revision)?.clone()))
        }))
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(&self, events: &[Event]) -> Result<Revision, Error> {
        let prepared = events.iter().map(Prepared::new).collect::<Result<Vec<_>, _>>()?;
        let mut state = self.state();
        let mut revision = self.at_head();
        for (event, prepared) in events.iter().zip(prepared) {
            revision = revision.next();
            state.events.insert(revision, event.clone());
            state.index.insert(entry_key(&prepared.object, revision), prepared.mark);
        }
        if !events.is_empty() {
            self.head.send_replace(revision);
        }
        Ok(revision)
    }

    async fn read(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        let state = self.state();
        state.floor.check_cursor(after, self.at_head())?;
        let range = state.events.range((Excluded(after), Unbounded));
        let mut entries: Vec<Entry> = Vec::new();
        for (revision, event) in range {
            let last = entries.last().map(|(revision, _)| *revision);
            if entries.len() >= limit && state.floor.page_may_end(after, last) {
                break;
            }
            entries.push((*revision, event.clone()));
        }
        Ok(entries)
    }

    async fn head(&self) -> Result<Revision, Error> {
        Ok(self.at_head())
    }

    async fn oldest(&self) -> Result<Revision, Error> {
        let state = self.state();
        Ok(state.events.keys().next().copied().unwrap_or_else(|| self.at_head().next()))
    }

    async fn newest(&self, key: &ResourceKey) -> Result<Option<Entry>, Error> {
        Ok(self.state().of_object(key)?.next_back())
    }

    async fn history(&self, key: &ResourceKey) -> Result<Vec<Entry>, Error> {
        Ok(self.state().of_object(key)?.rev().collect())
    }

    async fn state_at(&self, revision: Revision) -> Result<Vec<Entry>, Error> {
        let state = self.state();
        state.floor.check_state(revision, self.at_head())?;
        let mut revisions = Vec::new();
        each_group(state.entries(), |group| group.state_at(revision, &mut revisions))?;
        revisions.sort_unstable();
        let event = |at| state.events.get(&at).cloned().ok_or(Error::Closed);
        let mut entries =
            revisions.into_iter().map(|at| Ok((at, event(at)?))).collect::<Result<Vec<_>, Error>>()?;
        add_readable(&mut entries, |key, at| state.followed(key, at), event)?;
        Ok(entries)
    }

    async fn compact(&self, keep: usize) -> Result<Compaction, Error> {
        let mut state = self.state();
        let (mut floor, mut dropped) = (state.floor, Vec::new());
        let before = floor.forget_until(self.at_head());
        each_group(state.entries(), |group| group.compact(keep, before, &mut floor, &mut dropped))?;
        floor.head = self.at_head();
        state.floor = floor;
        for gone in &dropped {
            state.events.remove(&gone.revision);
            state.index.remove(&entry_key(&gone.object, gone.revision));
        }
        Ok(floor.compaction(dropped.len()))
    }

    fn identity(&self) -> LogId {
        self.identity
    }

    fn watch_head(&self) -> watch::Receiver<Revision> {
        self.head.subscribe()
    }
}

/// A snapshot in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemorySnapshots {
    saved: Arc<Mutex<Option<Snapshot>>>,
}

#[async_trait]
impl SnapshotStore for MemorySnapshots {
    async fn save(&self, snapshot: &Snapshot) -> Result<(), Error> {
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot.clone());
        Ok(())
    }

    async fn load(&self) -> Result<Loaded, Error> {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(saved.map_or(Loaded::None, Loaded::Found))
    }
}
