//! The state at the head of the log, and a machine that has it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proto::{Base, Change, Delta, Event, ResourceKey, Revision};
use store::{EventLog, Loaded, Snapshot, SnapshotStore};

use crate::Machine;

const PAGE: usize = 4096;
/// Events that are left out at most because the translator panics on them.
const SKIPPED: usize = 16;

/// What a log has come to.
pub(crate) struct State {
    /// Its head.
    pub(crate) revision: Revision,
    /// Revision of the snapshot that was used, [`Revision::NONE`] without one.
    pub(crate) snapshot: Revision,
    /// Events that fold to the state.
    pub(crate) events: Vec<Event>,
}

/// Reads the snapshot and what came after it; without a usable snapshot, the newest of each object.
pub(crate) async fn state(log: &dyn EventLog, snapshots: &dyn SnapshotStore) -> Result<State, store::Error> {
    let head = log.head().await?;
    if let Some(snapshot) = usable(log, snapshots, head).await {
        let revision = snapshot.revision;
        match follow(log, snapshot, head).await {
            Ok(events) => return Ok(State { revision: head, snapshot: revision, events }),
            Err(error) => tracing::warn!("the snapshot is too old, all of the log is read: {error}"),
        }
    }
    let events = log.state_at(head).await?.into_iter().map(|(_, event)| event).collect();
    Ok(State { revision: head, snapshot: Revision::NONE, events })
}

async fn usable(log: &dyn EventLog, snapshots: &dyn SnapshotStore, head: Revision) -> Option<Snapshot> {
    let reason = match snapshots.load().await {
        Ok(Loaded::None) => return None,
        Ok(Loaded::Found(snapshot)) if snapshot.log != log.identity() => {
            "it belongs to another log".to_owned()
        }
        Ok(Loaded::Found(snapshot)) if snapshot.revision > head => {
            format!("it is at revision {}, the log only at {head}", snapshot.revision)
        }
        Ok(Loaded::Found(snapshot)) => return Some(snapshot),
        Ok(Loaded::Unusable { reason }) => reason,
        Err(error) => error.to_string(),
    };
    tracing::warn!("the snapshot is not used, all of the log is read: {reason}");
    None
}

async fn follow(log: &dyn EventLog, snapshot: Snapshot, head: Revision) -> Result<Vec<Event>, store::Error> {
    let mut events = snapshot.events;
    let mut at = snapshot.revision;
    while at < head {
        let page = log.read(at, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        at = *last;
        events.extend(page.into_iter().map(|(_, event)| event));
    }
    Ok(events)
}

/// A machine that has a state.
pub(crate) struct Restored<M> {
    pub(crate) machine: M,
    /// From nothing to the state.
    pub(crate) delta: Delta,
    /// Events that it panics on: their objects are as they were before, or not there.
    pub(crate) left_out: Vec<Event>,
}

/// A new machine with the state that these events fold to; none if it panics on more than a few of them. An object
/// that it panics on is taken as it was before.
pub(crate) async fn machine<M: Machine>(
    env: &M::Env,
    log: &dyn EventLog,
    revision: Revision,
    mut events: Vec<Event>,
) -> Result<Restored<M>, Vec<ResourceKey>> {
    let mut left_out: Vec<Event> = Vec::new();
    loop {
        if let Some((machine, mut delta)) = attempt::<M>(env, revision, &events) {
            delta.base = Base::Nothing;
            // The age of the oldest object says nothing about how fast this revision travels.
            delta.observed_unix_nanos = 0;
            return Ok(Restored { machine, delta, left_out });
        }
        if left_out.len() == SKIPPED || events.is_empty() {
            return Err(left_out.into_iter().map(|event| event.key).collect());
        }
        let place = shortest_failing::<M>(env, revision, &events) - 1;
        let culprit = events.remove(place);
        if let Some(before) = before(log, &culprit).await {
            events.insert(place, before);
        }
        left_out.push(culprit);
    }
}

/// What an object was before an event, if it was there.
async fn before(log: &dyn EventLog, event: &Event) -> Option<Event> {
    let history = match log.history(&event.key).await {
        Ok(history) => history,
        Err(error) => {
            tracing::warn!("cannot read what {} was before: {error}", event.key);
            return None;
        }
    };
    let mut older = history.into_iter().skip_while(|(_, other)| other != event).skip(1);
    older.next().map(|(_, event)| event).filter(|event| matches!(event.change, Change::Upsert(_)))
}

/// Length of the shortest prefix that panics, given that the whole does.
fn shortest_failing<M: Machine>(env: &M::Env, revision: Revision, events: &[Event]) -> usize {
    let (mut works, mut fails) = (0, events.len());
    while fails - works > 1 {
        let middle = usize::midpoint(works, fails);
        if attempt::<M>(env, revision, &events[..middle]).is_some() { works = middle } else { fails = middle }
    }
    fails
}

fn attempt<M: Machine>(env: &M::Env, revision: Revision, events: &[Event]) -> Option<(M, Delta)> {
    catch_unwind(AssertUnwindSafe(|| {
        let mut machine = M::new(env);
        let delta = machine.apply(revision, events);
        (machine, delta)
    }))
    .ok()
}
