//! The state at the head of the log, and an engine that has it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proto::{Delta, Event, ResourceKey, Revision};
use store::{EventLog, Loaded, Snapshot, SnapshotStore};
use translate::{Engine, Env};

const PAGE: usize = 4096;
/// Objects that a start leaves out at most because the translator panics on them.
const SKIPPED: usize = 16;

/// What a log has come to.
pub(super) struct State {
    /// Its head.
    pub(super) revision: Revision,
    /// Revision of the snapshot that was used, [`Revision::NONE`] without one.
    pub(super) snapshot: Revision,
    /// Events that fold to the state.
    pub(super) events: Vec<Event>,
}

/// Reads the snapshot and what came after it; without a usable snapshot, the newest of each object.
pub(super) async fn state(log: &dyn EventLog, snapshots: &dyn SnapshotStore) -> Result<State, store::Error> {
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

/// A new engine with this state, the delta from nothing to it, and the objects that it panics on.
pub(super) fn engine(env: &Env, revision: Revision, events: &[Event]) -> (Engine, Delta, Vec<ResourceKey>) {
    if let Some((engine, delta)) = attempt(env, revision, events) {
        return (engine, delta, Vec::new());
    }
    let mut events = events.to_vec();
    let mut skipped = Vec::new();
    while skipped.len() < SKIPPED && !events.is_empty() {
        let culprit = events.remove(shortest_failing(env, revision, &events) - 1);
        events.retain(|event| event.key != culprit.key);
        skipped.push(culprit.key);
        if let Some((engine, delta)) = attempt(env, revision, &events) {
            return (engine, delta, skipped);
        }
    }
    (Engine::new(env.clone()), Delta { revision, ..Delta::default() }, skipped)
}

/// Length of the shortest prefix that panics, given that the whole does.
fn shortest_failing(env: &Env, revision: Revision, events: &[Event]) -> usize {
    let (mut works, mut fails) = (0, events.len());
    while fails - works > 1 {
        let middle = usize::midpoint(works, fails);
        if attempt(env, revision, &events[..middle]).is_some() { works = middle } else { fails = middle }
    }
    fails
}

fn attempt(env: &Env, revision: Revision, events: &[Event]) -> Option<(Engine, Delta)> {
    catch_unwind(AssertUnwindSafe(|| {
        let mut engine = Engine::new(env.clone());
        let delta = engine.apply(revision, events);
        (engine, delta)
    }))
    .ok()
}
