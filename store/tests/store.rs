//! The store against its contract, a model, crashes and broken disks.
#![allow(clippy::unwrap_used, reason = "this is test code")]

#[path = "store/contract.rs"]
mod contract;
#[path = "store/crash.rs"]
mod crash;
#[path = "store/disk.rs"]
mod disk;
#[path = "store/model.rs"]
mod model;
#[path = "store/snapshot.rs"]
mod snapshot;
