//! The way from and to an API server: objects in, statuses out.

mod kinds;
pub mod source;
pub mod status;

pub use kinds::{ReadKind, kinds};
