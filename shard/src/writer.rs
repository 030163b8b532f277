//! Makes events durable.

use std::sync::Arc;
use std::time::Duration;

use proto::{Event, ResourceKey, Revision};
use store::EventLog;
use tokio::sync::{mpsc, watch};

use crate::Batch;

/// Batches that waited while one was made durable are taken together, up to this many.
const TOGETHER: usize = 256;
/// Events of one append at most.
const APPEND: usize = 256;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// Who hears of a log's troubles. Called from the writer's loop: none of these may block.
pub trait Told: Send + Sync {
    /// The log refuses to append (nothing new is translated until it does), or does again.
    fn log_failing(&self, error: Option<&store::Error>);
    /// The log will never take this event, so it was left out.
    fn refused(&self, key: &ResourceKey, reason: &str);
}

/// Appends to the log of a partition. An event that it has handed on is durable.
pub struct Writer<T> {
    log: Arc<dyn EventLog>,
    told: Arc<T>,
}

impl<T: Told> Writer<T> {
    /// A writer of this log.
    pub fn new(log: Arc<dyn EventLog>, told: Arc<T>) -> Self {
        Writer { log, told }
    }

    /// Runs until `stop` is true, the events end, or nobody takes batches any more.
    pub async fn run(
        self,
        mut events: mpsc::Receiver<Vec<Event>>,
        batches: mpsc::Sender<Batch>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut waiting = Vec::new();
        let mut stop_taking = stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                count = events.recv_many(&mut waiting, TOGETHER) => {
                    if count == 0 {
                        break;
                    }
                    let taken: Vec<Event> = waiting.drain(..).flatten().collect();
                    let batch = tokio::select! {
                        biased;
                        batch = self.append(taken) => batch,
                        () = stopped(&mut stop_taking) => break,
                    };
                    if let Some(batch) = batch && batches.send(batch).await.is_err() {
                        break;
                    }
                }
            }
        }
    }

    /// Appends in parts until all of it is there; none if nothing is left to append. A log holds all that
    /// one append touches in memory, and a first listing can be the whole cluster.
    async fn append(&self, mut events: Vec<Event>) -> Option<Batch> {
        let mut last = None;
        let mut appended = Vec::with_capacity(events.len());
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(APPEND));
            let mut part = std::mem::replace(&mut events, rest);
            last = self.append_part(&mut part).await.or(last);
            appended.append(&mut part);
        }
        last.map(|revision| Batch { revision, events: appended })
    }

    /// Appends until it succeeds; none if nothing is left to append.
    async fn append_part(&self, events: &mut Vec<Event>) -> Option<Revision> {
        let mut pause = FIRST_RETRY;
        let mut failing = false;
        loop {
            if events.is_empty() {
                return None;
            }
            match self.log.append(events).await {
                Ok(revision) => {
                    if failing {
                        self.told.log_failing(None);
                    }
                    return Some(revision);
                }
                Err(store::Error::Refused { key, reason }) => {
                    self.told.refused(&key, &reason);
                    let before = events.len();
                    events.retain(|event| event.key != *key);
                    if events.len() < before {
                        continue;
                    }
                }
                Err(error) => {
                    failing = true;
                    self.told.log_failing(Some(&error));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RETRY);
        }
    }
}

/// Waits until it is told to stop; nobody left to tell means the same.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
