//! One pod: from its binding to its end.

mod backoff;
mod files;
mod grpc;
mod handler;
mod http;
mod probe;
mod state;
mod status;
mod supervise;
mod worker;

pub(super) use files::write_in_place;
pub(super) use worker::{Update, work};
