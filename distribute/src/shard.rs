//! The loop of one partition: event log → engine → delta.
//!
//! ```text
//! events ─▶ append (durable) ─▶ Engine::apply ─▶ Outputs::publish
//! feedback of the proxies ─▶ whose objects are to blame ─▶ Outputs::feedback
//! now and then, beside the loop: snapshot, then compaction
//! ```

mod blame;
mod counts;
mod recent;
mod restore;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use proto::{Delta, Event, Kind, ResourceKey, Revision};
use store::{EventLog, Snapshot, SnapshotStore};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, block_in_place};
use translate::{Engine, Env};

pub use blame::Blame;
pub use recent::{Recent, RecentDelta, RecentResource};

use crate::Feedback;
use blame::Blames;

/// Batches that waited while one was made durable are taken together, up to this many.
const TOGETHER: usize = 256;
/// Events of one append at most.
const APPEND: usize = 256;
/// Events of a batch that takes milliseconds to translate.
const LARGE: usize = 32;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// Settings of a shard.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Versions of each object that the log keeps, the newest included.
    pub history: usize,
    /// Events from one snapshot and compaction to the next.
    pub snapshot_every: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { history: 10, snapshot_every: 50_000 }
    }
}

/// Where the results of a shard go. Called from its loop: none of these may block.
pub trait Outputs: Send + Sync + 'static {
    /// A new revision: for the proxies and the statuses. With Gateways that are there and, from now on, another
    /// controller's.
    fn publish(&self, delta: &Delta, moved: &[ResourceKey]);
    /// The log refuses to append (nothing is published until it does), or does again.
    fn log_failing(&self, error: Option<&store::Error>);
    /// The log will never take this event, so it was left out.
    fn refused(&self, key: &ResourceKey, reason: &str);
    /// The translator failed on these objects: a bug. They stay as they were.
    fn translator_failed(&self, keys: &[ResourceKey], message: &str);
    /// What a proxy said, with the objects to blame for a NACK.
    fn feedback(&self, feedback: &Feedback, blamed: &[Blame]);
}

/// One partition: its log, its engine and what the proxies made of its deltas.
pub struct Shard {
    log: Arc<dyn EventLog>,
    snapshots: Arc<dyn SnapshotStore>,
    env: Env,
    options: Options,
    outputs: Arc<dyn Outputs>,
    engine: Engine,
    revision: Revision,
    saved: Revision,
    saving: Option<JoinHandle<()>>,
    recent: Arc<Recent>,
    blames: Blames,
}

impl Shard {
    /// Brings the state back from the snapshot and the log, and publishes it as one delta.
    ///
    /// # Errors
    /// If the log cannot be read. An unusable snapshot is no error: the log has all of it.
    pub async fn restore(
        log: Arc<dyn EventLog>,
        snapshots: Arc<dyn SnapshotStore>,
        env: Env,
        options: Options,
        outputs: Arc<dyn Outputs>,
    ) -> Result<Shard, store::Error> {
        let state = restore::state(log.as_ref(), snapshots.as_ref()).await?;
        let (engine, mut delta, skipped) = restore::engine(&env, state.revision, &state.events);
        if !skipped.is_empty() {
            outputs.translator_failed(&skipped, "the translator panicked on them at the start");
        }
        // The age of the oldest object says nothing about how fast this revision travels.
        delta.observed_unix_nanos = 0;
        let shard = Shard {
            log,
            snapshots,
            env,
            options,
            outputs,
            engine,
            revision: state.revision,
            saved: state.snapshot,
            saving: None,
            recent: Arc::default(),
            blames: Blames::default(),
        };
        shard.publish(&delta);
        Ok(shard)
    }

    /// The newest event of each live object.
    pub fn objects(&self) -> impl Iterator<Item = &Event> {
        self.engine.objects()
    }

    /// The revision of all that is published.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Summaries of the last deltas, shared with the running loop.
    pub fn recent(&self) -> Arc<Recent> {
        Arc::clone(&self.recent)
    }

    /// Runs until `stop` is true or the events end, then saves a snapshot.
    pub async fn run(
        mut self,
        mut events: mpsc::Receiver<Vec<Event>>,
        mut feedback: mpsc::UnboundedReceiver<Feedback>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut waiting = Vec::new();
        let mut stop_taking = stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(feedback) = feedback.recv() => self.feedback(&feedback).await,
                count = events.recv_many(&mut waiting, TOGETHER) => {
                    if count == 0 {
                        break;
                    }
                    let batch: Vec<Event> = waiting.drain(..).flatten().collect();
                    tokio::select! {
                        biased;
                        () = self.take(batch) => {}
                        () = stopped(&mut stop_taking) => break,
                    }
                    if self.revision.0 - self.saved.0 >= self.options.snapshot_every {
                        self.save().await;
                    }
                }
            }
        }
        if self.revision > self.saved {
            self.save().await;
        }
        if let Some(saving) = self.saving.take() {
            // Its failure was logged; the next start reads more of the log.
            let _ = saving.await;
        }
    }

    /// One batch: durable, then translated, then published. Does not return before it is durable.
    async fn take(&mut self, mut batch: Vec<Event>) {
        let Some(revision) = self.append(&mut batch).await else { return };
        let observed = batch.iter().map(|event| event.observed_unix_nanos).filter(|&at| at > 0).min();
        counts::hop("logged", observed);
        counts::events(&batch);
        let before = self.revision;
        self.revision = revision;
        let engine = &mut self.engine;
        let translate = || catch_unwind(AssertUnwindSafe(|| engine.apply(revision, &batch)));
        match making_room(batch.len(), translate) {
            Ok(delta) => {
                counts::hop("translated", observed);
                counts::stages(self.engine.stats());
                self.publish(&delta);
            }
            Err(_) => self.recover(before, &batch).await,
        }
    }

    /// Appends in parts until all of it is there; none if nothing is left to append. A log holds all that
    /// one append touches in memory, and a first listing can be the whole cluster.
    async fn append(&self, batch: &mut Vec<Event>) -> Option<Revision> {
        let mut last = None;
        let mut appended = Vec::with_capacity(batch.len());
        while !batch.is_empty() {
            let rest = batch.split_off(batch.len().min(APPEND));
            let mut part = std::mem::replace(batch, rest);
            last = self.append_part(&mut part).await.or(last);
            appended.append(&mut part);
        }
        *batch = appended;
        last
    }

    /// Appends until it succeeds; none if nothing is left to append.
    async fn append_part(&self, batch: &mut Vec<Event>) -> Option<Revision> {
        let mut pause = FIRST_RETRY;
        let mut failing = false;
        loop {
            if batch.is_empty() {
                return None;
            }
            match self.log.append(batch).await {
                Ok(revision) => {
                    if failing {
                        self.outputs.log_failing(None);
                    }
                    return Some(revision);
                }
                Err(store::Error::Refused { key, reason }) => {
                    self.outputs.refused(&key, &reason);
                    let before = batch.len();
                    batch.retain(|event| event.key != *key);
                    if batch.len() < before {
                        continue;
                    }
                }
                Err(error) => {
                    failing = true;
                    self.outputs.log_failing(Some(&error));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RETRY);
        }
    }

    /// After a panic the engine cannot be trusted: a new one takes the state before the batch, which is
    /// what the proxies have. The batch stays in the log; the next change of its objects is translated.
    async fn recover(&mut self, before: Revision, batch: &[Event]) {
        metrics::counter!("fleetgate_translator_panics_total", "stage" => "batch").increment(1);
        let keys: Vec<ResourceKey> = batch.iter().map(|event| event.key.clone()).collect();
        self.outputs.translator_failed(&keys, "the translator panicked; they stay as they were");
        match self.log.state_at(before).await {
            Ok(state) => {
                let events: Vec<Event> = state.into_iter().map(|(_, event)| event).collect();
                self.engine = restore::engine(&self.env, before, &events).0;
            }
            Err(error) => tracing::error!("cannot read the state at revision {before}: {error}"),
        }
    }

    fn publish(&self, delta: &Delta) {
        counts::delta(delta);
        self.recent.add(delta);
        let gone = delta.reports.iter().filter(|report| report.status.is_none()).map(|report| &report.key);
        let moved = gone.filter(|key| key.kind == Kind::GATEWAY && self.engine.has(key)).cloned();
        self.outputs.publish(delta, &moved.collect::<Vec<_>>());
    }

    async fn feedback(&mut self, feedback: &Feedback) {
        self.recent.feedback(feedback);
        let blamed = self.blames.feedback(feedback, &self.engine, self.log.as_ref()).await;
        self.outputs.feedback(feedback, &blamed);
    }

    /// Saves a snapshot and compacts beside the loop; does nothing while the last one is being saved.
    async fn save(&mut self) {
        if self.saving.as_ref().is_some_and(|saving| !saving.is_finished()) {
            return;
        }
        let snapshot = Snapshot {
            log: self.log.identity(),
            revision: self.revision,
            events: self.engine.objects().cloned().collect(),
        };
        self.saved = self.revision;
        let (log, snapshots, keep) =
            (Arc::clone(&self.log), Arc::clone(&self.snapshots), self.options.history.saturating_sub(1));
        self.saving = Some(tokio::spawn(async move {
            if let Err(error) = snapshots.save(&snapshot).await {
                tracing::warn!("cannot save a snapshot (the log still has everything): {error}");
                return;
            }
            drop(snapshot);
            match log.compact(keep).await {
                Ok(done) => tracing::debug!("compaction dropped {} events", done.dropped),
                Err(error) => tracing::warn!("cannot compact the log (it only grows): {error}"),
            }
        }));
    }
}

/// Translates a batch. A large one takes long enough to let another thread serve the proxies meanwhile.
fn making_room<T>(events: usize, translate: impl FnOnce() -> T) -> T {
    let has_others = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if events > LARGE && has_others { block_in_place(translate) } else { translate() }
}

/// Waits until it is told to stop; nobody left to tell means the same.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests;
