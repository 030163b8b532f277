//! The one thread that writes. Appends that wait while another is made durable go out together.

use std::sync::{Arc, mpsc};

use proto::Revision;
use sled::Batch;
use tokio::sync::oneshot;

use super::{
    database::Database,
    layout::{FLOOR_KEY, PIECE, index_key, piece_key},
    reading::Reading,
};
use crate::{
    Compaction, Error,
    index::entry_key,
    record::Prepared,
    retention::{Dropped, each_group},
};

/// Bytes after which a group is closed.
const GROUP_BYTES: usize = 4 << 20;
/// Pieces of records that a compaction drops at a time: sled rewrites the pages around them.
const STEP_PIECES: u32 = 256;

type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Something to write. A caller that has gone away does not undo it.
pub(super) enum Job {
    Append { events: Vec<Prepared>, reply: Reply<Revision> },
    Compact { keep: usize, reply: Reply<Compaction> },
}

pub(super) struct Writer {
    database: Arc<Database>,
    queue: mpsc::Receiver<Job>,
}

/// Appends that become durable together.
#[derive(Default)]
struct Group {
    batch: Batch,
    bytes: usize,
    replies: Vec<(Revision, Reply<Revision>)>,
}

impl Writer {
    pub(super) fn new(database: Arc<Database>, queue: mpsc::Receiver<Job>) -> Writer {
        Writer { database, queue }
    }

    /// Until the log is dropped.
    pub(super) fn run(self) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| self.queue.recv().ok()) {
            match job {
                Job::Append { events, reply } => next = self.append(events, reply),
                // Nobody may wait for an answer any more.
                Job::Compact { keep, reply } => drop(reply.send(self.compact(keep))),
            }
        }
    }

    /// Returns the job that ended the group, if one did.
    fn append(&self, events: Vec<Prepared>, reply: Reply<Revision>) -> Option<Job> {
        if let Err(error) = self.database.reopen() {
            drop(reply.send(Err(error)));
            return None;
        }
        let (mut group, mut head) = (Group::default(), self.database.head());
        self.admit(&mut group, &mut head, events, reply);
        let mut left_over = None;
        while group.bytes < GROUP_BYTES {
            match self.queue.try_recv() {
                Ok(Job::Append { events, reply }) => self.admit(&mut group, &mut head, events, reply),
                Ok(job) => {
                    left_over = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        if group.replies.is_empty() {
            return left_over;
        }
        let written = self.database.append(group.batch);
        if written.is_ok() {
            self.database.set_head(head);
        }
        for (revision, reply) in group.replies {
            drop(reply.send(written.clone().map(|()| revision)));
        }
        left_over
    }

    /// Takes an append in, or refuses it for want of space.
    fn admit(&self, group: &mut Group, head: &mut Revision, events: Vec<Prepared>, reply: Reply<Revision>) {
        let bytes = events.iter().map(|event| event.envelope.len() + 2 * event.object.len()).sum::<usize>();
        if let Err(error) = self.database.check_space(group.bytes + bytes) {
            drop(reply.send(Err(error)));
            return;
        }
        for event in events {
            *head = head.next();
            for (piece, bytes) in (0..).zip(event.record(*head).chunks(PIECE)) {
                group.batch.insert(&piece_key(*head, piece), bytes);
            }
            group.batch.insert(index_key(&entry_key(&event.object, *head)), &event.mark.encode());
        }
        group.bytes += bytes;
        group.replies.push((*head, reply));
    }

    /// Raises the floor, then drops in steps that are each atomic: sled keeps all that a batch touches in
    /// memory. A crash in between leaves some events for the next compaction; they go oldest first, and a
    /// sweep after what it sweeps, so what remains always folds to the same state.
    fn compact(&self, keep: usize) -> Result<Compaction, Error> {
        self.database.reopen()?;
        self.database.check_space(0)?;
        let (floor, dropped) = self.database.reading(|log| {
            let (mut floor, mut dropped) = (log.floor(), Vec::new());
            let before = floor.forget_until(log.head);
            each_group(log.index(), |group| group.compact(keep, before, &mut floor, &mut dropped))?;
            floor.head = log.head;
            Ok((floor, dropped))
        })?;
        let mut raised = Batch::default();
        raised.insert(FLOOR_KEY, floor.encode());
        self.database.compact(raised, floor)?;
        let mut rest = &dropped[..];
        while !rest.is_empty() {
            self.database.check_space(0)?;
            let (batch, taken) = self.database.reading(|log| removal(log, rest))?;
            self.database.compact(batch, floor)?;
            rest = &rest[taken..];
        }
        Ok(floor.compaction(dropped.len()))
    }
}

/// Removes the first of these events, and says how many.
fn removal(log: &Reading<'_>, events: &[Dropped]) -> Result<(Batch, usize), Error> {
    let (mut batch, mut taken, mut pieces) = (Batch::default(), 0, 0);
    for gone in events {
        let more = log.pieces(gone.revision)?;
        for piece in 0..more {
            batch.remove(&piece_key(gone.revision, piece));
        }
        batch.remove(index_key(&entry_key(&gone.object, gone.revision)));
        taken += 1;
        pieces += more;
        if pieces >= STEP_PIECES {
            break;
        }
    }
    Ok((batch, taken))
}
