//! The way from and to an API server: objects in, statuses out.

pub mod source;
pub mod status;
