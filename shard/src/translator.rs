//! Follows a log: batches in, deltas and blame out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use proto::{Blame, Change, Delta, Event, Feedback, Kind, ResourceKey, Revision};
use store::{EventLog, Snapshot, SnapshotStore};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, block_in_place};

use crate::blame::Blames;
use crate::restore::{self, Restored};
use crate::{Batch, Machine, Recent, counts};

/// Events of a batch that takes milliseconds to translate.
const LARGE: usize = 32;
const RETRY: Duration = Duration::from_secs(1);

/// Settings of a translator.
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

/// Where the results go. Called from the translator's loop: none of these may block.
pub trait Outputs: Send + Sync + 'static {
    /// A new revision: for the proxies and the statuses. With Gateways that are there and, from now on, another
    /// controller's.
    fn publish(&self, delta: &Delta, moved: &[ResourceKey]);
    /// The translator failed on these objects: a bug. They stay as they were.
    fn translator_failed(&self, keys: &[ResourceKey], message: &str);
    /// What a proxy said, with the objects to blame for a NACK.
    fn feedback(&self, feedback: &Feedback, blamed: &[Blame]);
}

/// Translates one partition, and keeps what the proxies made of its deltas.
pub struct Translator<M: Machine = translate::Engine> {
    log: Arc<dyn EventLog>,
    snapshots: Arc<dyn SnapshotStore>,
    env: M::Env,
    options: Options,
    outputs: Arc<dyn Outputs>,
    machine: M,
    /// Newest events of objects that the machine panics on; it has these as they were before.
    left_out: Vec<Event>,
    /// The machine panicked and could not be brought back; it is tried with each batch.
    is_broken: bool,
    revision: Revision,
    saved: Revision,
    saving: Option<JoinHandle<()>>,
    recent: Arc<Recent>,
    blames: Blames,
}

impl<M: Machine> Translator<M> {
    /// Brings the state back from the snapshot and the log, and publishes it as one delta on nothing.
    ///
    /// # Errors
    /// If the log cannot be read. An unusable snapshot is no error: the log has all of it.
    pub async fn restore(
        log: Arc<dyn EventLog>,
        snapshots: Arc<dyn SnapshotStore>,
        env: M::Env,
        options: Options,
        outputs: Arc<dyn Outputs>,
    ) -> Result<Translator<M>, store::Error> {
        let state = restore::state(log.as_ref(), snapshots.as_ref()).await?;
        let mut translator = Translator {
            log,
            snapshots,
            machine: M::new(&env),
            env,
            options,
            outputs,
            left_out: Vec::new(),
            is_broken: false,
            revision: state.revision,
            saved: state.snapshot,
            saving: None,
            recent: Arc::default(),
            blames: Blames::default(),
        };
        translator.start_from(state.events, "the translator panicked on them at the start").await;
        Ok(translator)
    }

    /// Events that fold to the state.
    pub fn objects(&self) -> impl Iterator<Item = &Event> {
        self.machine.objects().chain(&self.left_out)
    }

    /// The revision of all that is published.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Summaries of the last deltas, shared with the running loop.
    pub fn recent(&self) -> Arc<Recent> {
        Arc::clone(&self.recent)
    }

    /// Runs until nobody sends batches any more, then saves a snapshot.
    pub async fn run(
        mut self,
        mut batches: mpsc::Receiver<Batch>,
        mut feedback: mpsc::UnboundedReceiver<Feedback>,
    ) {
        loop {
            tokio::select! {
                biased;
                Some(feedback) = feedback.recv() => self.feedback(&feedback),
                batch = batches.recv() => {
                    let Some(batch) = batch else { break };
                    self.take(batch).await;
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

    /// One batch: translated, then published.
    async fn take(&mut self, batch: Batch) {
        let events = &batch.events;
        let observed = events.iter().map(|event| event.observed_unix_nanos).filter(|&at| at > 0).min();
        counts::hop("logged", observed);
        counts::events(events);
        self.revision = batch.revision;
        self.left_out.retain(|left_out| !events.iter().any(|event| ends(event, left_out)));
        if self.is_broken {
            return self.recover(events).await;
        }
        let machine = &mut self.machine;
        let translate = || catch_unwind(AssertUnwindSafe(|| machine.apply(batch.revision, events)));
        match making_room(events.len(), translate) {
            Ok(delta) => {
                counts::hop("translated", observed);
                counts::stages(self.machine.stats());
                self.publish(delta);
            }
            Err(_) => {
                metrics::counter!("fleetgate_translator_panics_total", "stage" => "batch").increment(1);
                self.recover(events).await;
            }
        }
    }

    /// After a panic the machine cannot be trusted: a new one takes the state with the batch, but for the objects
    /// that it panics on. What differs from the one before is told by a delta on nothing.
    async fn recover(&mut self, events: &[Event]) {
        let state = loop {
            match self.log.state_at(self.revision).await {
                Ok(state) => break state,
                Err(error) => {
                    let keys: Vec<ResourceKey> = events.iter().map(|event| event.key.clone()).collect();
                    let message = format!("the translator panicked, and the log cannot be read: {error}");
                    self.outputs.translator_failed(&keys, &message);
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        let state = state.into_iter().map(|(_, event)| event).collect();
        self.start_from(state, "the translator panicked on them; they stay as they were").await;
    }

    /// Gives the state to a new machine and publishes it. If none takes it, what proxies have stays.
    async fn start_from(&mut self, state: Vec<Event>, message: &str) {
        let keys = match restore::machine(&self.env, self.log.as_ref(), self.revision, state).await {
            Ok(Restored { machine, delta, left_out }) => {
                self.machine = machine;
                self.is_broken = false;
                self.publish(delta);
                let keys = left_out.iter().map(|event| event.key.clone()).collect();
                self.left_out = left_out;
                keys
            }
            Err(keys) => {
                self.is_broken = true;
                keys
            }
        };
        if !keys.is_empty() {
            self.outputs.translator_failed(&keys, message);
        }
    }

    fn publish(&self, mut delta: Delta) {
        delta.log = self.log.identity();
        let delta = &delta;
        counts::delta(delta);
        self.recent.add(delta);
        let gone = delta.reports.iter().filter(|report| report.status.is_none()).map(|report| &report.key);
        let moved = gone.filter(|key| key.kind == Kind::GATEWAY && self.machine.has(key)).cloned();
        self.outputs.publish(delta, &moved.collect::<Vec<_>>());
    }

    fn feedback(&mut self, feedback: &Feedback) {
        self.recent.feedback(feedback);
        let blamed = self.blames.feedback(feedback, &self.machine);
        self.outputs.feedback(feedback, &blamed);
    }

    /// Saves a snapshot and compacts beside the loop; does nothing while the last one is being saved.
    async fn save(&mut self) {
        if self.is_broken || self.saving.as_ref().is_some_and(|saving| !saving.is_finished()) {
            return;
        }
        let snapshot = Snapshot {
            log: self.log.identity(),
            revision: self.revision,
            events: self.objects().cloned().collect(),
        };
        self.saved = self.revision;
        // The last version that can be read may be an old one.
        let unread = snapshot.events.iter().find(|event| matches!(event.change, Change::Unknown(_)));
        let unread = unread.map(|event| event.key.to_string());
        let (log, snapshots, keep) =
            (Arc::clone(&self.log), Arc::clone(&self.snapshots), self.options.history.saturating_sub(1));
        self.saving = Some(tokio::spawn(async move {
            if let Err(error) = snapshots.save(&snapshot).await {
                tracing::warn!("cannot save a snapshot (the log still has everything): {error}");
                return;
            }
            drop(snapshot);
            if let Some(object) = unread {
                return tracing::warn!(
                    "the log is not compacted: a newer fleetgate wrote events of {object}; upgrade this one"
                );
            }
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

/// True if an event ends what another one says.
fn ends(event: &Event, earlier: &Event) -> bool {
    match event.change {
        Change::Synced { sweep_before } => {
            let is_of_kind = event.key.cluster == earlier.key.cluster && event.key.kind == earlier.key.kind;
            is_of_kind && earlier.epoch < sweep_before
        }
        _ => event.key == earlier.key,
    }
}
