//! The event log and the snapshots.
//!
//! ```text
//! append ──▶ EventLog ──read/state_at──▶ reader ──save──▶ SnapshotStore
//!            (truth)                                      (disposable: rebuilt from the log)
//! ```
//!
//! [`EventLog`] says what a log must do; [`SledLog`] keeps it in a directory, [`MemoryLog`] in memory.
//! [`SnapshotStore`] saves a reader's state, so that a restart reads only what came after it. Both traits
//! have a suite of tests that every implementation must pass: `contract`, behind the feature `test-util`.

#[cfg(feature = "test-util")]
pub mod contract;
mod error;
mod file;
mod index;
mod log;
mod memory;
mod record;
mod retention;
mod sled;
mod snapshot;

pub use error::Error;
pub use file::FileSnapshots;
pub use log::{Compaction, EventLog};
pub use memory::{MemoryLog, MemorySnapshots};
pub use proto::LogId;
pub use sled::SledLog;
pub use snapshot::{Loaded, Snapshot, SnapshotStore};
