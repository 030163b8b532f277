//! The API server as a source of events.

mod seen;

pub use seen::{Observed, Seen};
