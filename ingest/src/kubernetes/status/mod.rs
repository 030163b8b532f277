//! Statuses, written back to the objects that they speak of.
//!
//! ```text
//! updates ─┐
//!          ├─▶ Queue: when is whose turn ─▶ merge with what the server has ─▶ PATCH …/status, if it differs
//! Seen ────┘
//! ```

mod merge;
mod queue;
mod writer;

pub use merge::merge;
pub use writer::{StatusUpdate, write};
