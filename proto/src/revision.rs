//! Positions and eras.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Position of an event in its partition's log. A delta carries the position of the last event it
/// contains, so a revision names one state of the configuration for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Revision(pub u64);

impl Revision {
    /// Before the first event.
    pub const NONE: Revision = Revision(0);
    /// The first event.
    pub const FIRST: Revision = Revision(1);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which listing of its source an event belongs to; grows with every relist of that source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// Which log it is. A reader that remembers a position MUST remember this with it, and start from the current state
/// if it differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub u128);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Grows with each owner of a partition, so that one that does not know yet that it is none any more is told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FencingEpoch(pub u64);

/// Unit of ownership: one log, one translator, one Raft group. Standalone has partition 0 only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Partition(pub u16);
