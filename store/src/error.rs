//! What can go wrong, as sentences for an operator.

use std::path::PathBuf;

use proto::{ResourceKey, Revision};

/// Why a log or a snapshot store did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The directory cannot be made, read or written.
    #[error("{}: cannot be used to keep state: {reason}; make it a writable directory or choose another", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Another process has it open.
    #[error("{}: another fleetgate uses this directory; stop it or choose another directory", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// Not enough space. Nothing was written; an append can be tried again once there is space.
    #[error("{}: the disk is full: {free} bytes are free, {needed} are needed; free some space, nothing was stored", dir.display())]
    Full {
        /// The directory.
        dir: PathBuf,
        /// Free bytes.
        free: u64,
        /// Free bytes needed to go on.
        needed: u64,
    },
    /// Reading or writing failed. After a failed append its events are in the log either all or not at all.
    #[error("{}: {reason}; see to the disk, the next append opens the log anew", dir.display())]
    Storage {
        /// The directory.
        dir: PathBuf,
        /// What the storage says.
        reason: String,
    },
    /// What is on disk is not a log.
    #[error("{}: the event log is damaged: {reason}; move the directory away and start again: the source fills a new log", dir.display())]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// One record is not what was written.
    #[error(
        "revision {revision}: the record is damaged: {reason}; move the log's directory away and start again: the source fills a new log"
    )]
    Record {
        /// Its revision.
        revision: Revision,
        /// What is wrong.
        reason: String,
    },
    /// An event that no log can take.
    #[error("{key}: {reason}")]
    Refused {
        /// The object of the event.
        key: Box<ResourceKey>,
        /// What is wrong and what to do.
        reason: String,
    },
    /// What is asked for was dropped by a compaction.
    #[error(
        "the log is compacted up to revision {oldest}: ask for that or a later one, or start from the current state"
    )]
    Compacted {
        /// The oldest revision that can still be asked for.
        oldest: Revision,
    },
    /// The reader has seen more than there is: its cursor belongs to another log or the log was cut.
    #[error("revision {asked} is beyond the end of the log at {head}: start from the current state")]
    Ahead {
        /// The revision asked for.
        asked: Revision,
        /// The newest revision.
        head: Revision,
    },
    /// The log is shutting down.
    #[error("the event log is closed")]
    Closed,
}
