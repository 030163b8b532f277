//! What an event log is.

use async_trait::async_trait;
use proto::{Event, LogId, ResourceKey, Revision};
use tokio::sync::watch;

use crate::Error;

/// An event with its position.
pub(crate) type Entry = (Revision, Event);

/// A durable, ordered log of events that forgets old versions of objects on request.
///
/// Every implementation MUST pass `contract::log`.
///
/// **Positions.** The first event has [`Revision::FIRST`], each further one the next revision. A revision
/// MUST never change, be reused or be given to another event, and the head MUST never fall, not by
/// compaction and not by reopening.
///
/// **Visibility.** Readers MUST see only what is durable, and a batch as a whole.
///
/// **Gone objects.** An object is gone at the revision of its delete, or of the first
/// [`Synced`](proto::Change::Synced) after its last event whose `sweep_before` is above that event's epoch.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Appends all events, in order and without a gap, and returns the revision of the last; of an empty
    /// slice the head.
    ///
    /// MUST be durable on return: the events survive a crash of the process and of the machine. MUST be
    /// atomic: after an error or a crash the log has all of them or none.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Refused`] store nothing and disturb nothing. After [`Error::Storage`]
    /// the caller cannot know: it reads, or appends again, which at worst repeats the events.
    async fn append(&self, events: &[Event]) -> Result<Revision, Error>;

    /// The retained events after a revision, in order: at most `limit`, and fewer if they are large, but
    /// never none if there are any. Folding them over the state at `after` MUST give the state at the
    /// last event read once the head is reached; in between, versions dropped by compaction are missing.
    ///
    /// From [`Revision::NONE`] it MUST go on, whatever the limit, until an event at or after
    /// [`Compaction::resume`], from which the next page can go on. A reader that only wants the state
    /// takes [`EventLog::state_at`] the head.
    ///
    /// # Errors
    /// [`Error::Compacted`] if a delete or a sweep after `after` was dropped, so that a reader would keep
    /// an object that is gone; never for [`Revision::NONE`]. [`Error::Ahead`] if `after` is above the head.
    async fn read(&self, after: Revision, limit: usize) -> Result<Vec<(Revision, Event)>, Error>;

    /// The revision of the newest durable event, [`Revision::NONE`] if there never was one.
    ///
    /// # Errors
    /// If the log cannot be reached.
    async fn head(&self) -> Result<Revision, Error>;

    /// The first retained revision; the one after the head if none is.
    ///
    /// # Errors
    /// If the log cannot be read.
    async fn oldest(&self) -> Result<Revision, Error>;

    /// The newest retained event of an object, deletes included. Sweeps are not looked at.
    ///
    /// # Errors
    /// If the log cannot be read.
    async fn newest(&self, key: &ResourceKey) -> Result<Option<(Revision, Event)>, Error>;

    /// The retained events of an object, newest first.
    ///
    /// # Errors
    /// If the log cannot be read.
    async fn history(&self, key: &ResourceKey) -> Result<Vec<(Revision, Event)>, Error>;

    /// The state as of a revision, in order of revision: the last event at or before it of every object
    /// that is not gone, and the last `Synced` of every cluster and kind. Of an object whose last event a
    /// newer version wrote, the last that can be read comes too. Folding the result gives that state exactly.
    ///
    /// # Errors
    /// [`Error::Compacted`] for a revision below [`Compaction::horizon`], [`Error::Ahead`] for one above
    /// the head.
    async fn state_at(&self, revision: Revision) -> Result<Vec<(Revision, Event)>, Error>;

    /// Drops old versions: of each key the newest event and up to `keep` older ones stay.
    ///
    /// An object that was gone already at the *previous* compaction loses all its events, its delete
    /// included; so a delete stays readable from one compaction to the next but one. A `Synced` stays,
    /// whatever its age, while an event that it sweeps does. The event at the head always stays.
    ///
    /// # Errors
    /// If the log cannot be read or written; a part may be dropped then, and the rest by the next one.
    async fn compact(&self, keep: usize) -> Result<Compaction, Error>;

    /// Which log this is: a random name, made when the log is.
    fn identity(&self) -> LogId;

    /// Follows the head: it changes after each append, once the events are durable. Never goes back.
    fn watch_head(&self) -> watch::Receiver<Revision>;
}

/// A random name for a new log.
pub(crate) fn random_identity() -> Result<LogId, String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers: {error}"))?;
    Ok(LogId(u128::from_be_bytes(bytes)))
}

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Events dropped this time.
    pub dropped: usize,
    /// [`EventLog::state_at`] is exact from here on: the highest revision at which a version dropped by
    /// this or an earlier compaction was succeeded, that is replaced, deleted or swept.
    pub horizon: Revision,
    /// [`EventLog::read`] goes on from here or later without missing a delete or a sweep: the highest
    /// revision of one that this or an earlier compaction dropped.
    pub resume: Revision,
}
