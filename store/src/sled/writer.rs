//! The one thread that writes. Appends that wait while another is made durable go out together: few events to the
//! journal, many to sled at once.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use proto::Revision;
use sled::Batch;
use tokio::sync::oneshot;

use super::{
    database::Database,
    journal::Journal,
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
/// Events and bytes of a group that goes to the journal: of a larger one sled's own cost is a small part.
const FEW: usize = 16;
const SMALL: usize = 64 << 10;
/// Events in the journal after which sled takes them, and the longest that they wait for more.
const MANY: usize = 128;
const LONGEST: Duration = Duration::from_secs(2);
/// Pieces of records that a compaction drops at a time: sled rewrites the pages around them.
const STEP_PIECES: u32 = 256;

type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Something to write. A caller that has gone away does not undo it.
pub(super) enum Job {
    Append {
        events: Vec<Prepared>,
        reply: Reply<Revision>,
    },
    /// Sled is to have all that is durable.
    Settle {
        reply: Reply<()>,
    },
    Compact {
        keep: usize,
        reply: Reply<Compaction>,
    },
}

pub(super) struct Writer {
    database: Arc<Database>,
    queue: mpsc::Receiver<Job>,
    /// None after a failure: sled has all, then.
    journal: Option<Journal>,
    /// What only the journal has, from the revision after the settled one on.
    tail: Vec<Prepared>,
}

/// Appends that become durable together.
#[derive(Default)]
struct Group {
    events: Vec<Prepared>,
    bytes: usize,
    replies: Vec<(Revision, Reply<Revision>)>,
}

impl Writer {
    /// Brings what only the journal has into sled.
    ///
    /// # Errors
    /// If that fails, or the journal cannot be opened.
    pub(super) fn new(database: Arc<Database>, queue: mpsc::Receiver<Job>) -> Result<Writer, Error> {
        let journal = Journal::open(database.dir(), database.identity());
        let journal = journal.map_err(|error| database.directory_error(error))?;
        let events = journal.recover(database.dir(), database.head())?;
        let tail = events.iter().map(Prepared::new).collect::<Result<Vec<_>, _>>()?;
        database.set_head(Revision(database.head().0 + tail.len() as u64));
        let mut writer = Writer { database, queue, journal: Some(journal), tail };
        writer.settle()?;
        Ok(writer)
    }

    /// Until the log is dropped.
    pub(super) fn run(mut self) {
        let mut next = None;
        loop {
            let job = match next.take() {
                Some(job) => Ok(job),
                None if self.tail.is_empty() => {
                    self.queue.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
                }
                None => self.queue.recv_timeout(LONGEST),
            };
            match job {
                Ok(Job::Append { events, reply }) => next = self.append(events, reply),
                // Nobody may wait for an answer any more.
                Ok(Job::Settle { reply }) => drop(reply.send(self.settle())),
                Ok(Job::Compact { keep, reply }) => drop(reply.send(self.compact(keep))),
                // The journal keeps it, and whoever needs sled to have it is told why it has not.
                Err(mpsc::RecvTimeoutError::Timeout) => drop(self.settle()),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        let _ = self.settle();
    }

    /// Returns the job that ended the group, if one did.
    fn append(&mut self, events: Vec<Prepared>, reply: Reply<Revision>) -> Option<Job> {
        if let Err(error) = self.database.reopen() {
            drop(reply.send(Err(error)));
            return None;
        }
        self.forget_settled();
        let mut group = Group::default();
        let mut head = self.database.head();
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
        let small = group.events.len() <= FEW && group.bytes <= SMALL;
        let written = self.write(group.events, small);
        if written.is_ok() {
            self.database.set_head(head);
        }
        for (revision, reply) in group.replies {
            drop(reply.send(written.clone().map(|()| revision)));
        }
        if self.tail.len() >= MANY {
            let _ = self.settle();
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
        *head = Revision(head.0 + events.len() as u64);
        group.events.extend(events);
        group.bytes += bytes;
        group.replies.push((*head, reply));
    }

    /// Makes events durable that follow the head: in the journal, or in sled with all that the journal has.
    fn write(&mut self, events: Vec<Prepared>, small: bool) -> Result<(), Error> {
        if small && let Some(journal) = &mut self.journal {
            match journal.append(self.database.head().next(), &events) {
                Ok(true) => {
                    self.tail.extend(events);
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!("the log's journal fails, the log goes on without: {error}");
                    self.journal = None;
                }
            }
        }
        self.hand_over(&events)
    }

    /// Sled takes what only the journal has.
    fn settle(&mut self) -> Result<(), Error> {
        self.database.reopen()?;
        self.forget_settled();
        if self.tail.is_empty() { Ok(()) } else { self.hand_over(&[]) }
    }

    /// What only the journal has, and more, in one batch.
    fn hand_over(&mut self, more: &[Prepared]) -> Result<(), Error> {
        let (mut batch, mut revision) = (Batch::default(), self.database.settled());
        for event in self.tail.iter().chain(more) {
            revision = revision.next();
            for (piece, bytes) in (0..).zip(event.record(revision).chunks(PIECE)) {
                batch.insert(&piece_key(revision, piece), bytes);
            }
            batch.insert(index_key(&entry_key(&event.object, revision)), &event.mark.encode());
        }
        self.database.append(batch, revision)?;
        self.forget_settled();
        Ok(())
    }

    /// Sled may have the tail though a write to it failed: then it was found when it was opened again.
    fn forget_settled(&mut self) {
        let journalled = self.database.head().0.saturating_sub(self.database.settled().0);
        if self.tail.len() as u64 > journalled {
            self.tail.clear();
        }
        if self.tail.is_empty()
            && let Some(journal) = &mut self.journal
        {
            journal.rewind();
        }
    }

    /// Raises the floor, then drops in steps that are each atomic: sled keeps all that a batch touches in
    /// memory. A crash in between leaves some events for the next compaction; they go oldest first, and a
    /// sweep after what it sweeps, so what remains always folds to the same state.
    fn compact(&mut self, keep: usize) -> Result<Compaction, Error> {
        self.settle()?;
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
