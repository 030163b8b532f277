//! One container: what it runs, in which environment, as whom, and its processes.

pub(super) mod command;
pub(super) mod env;
pub(super) mod fields;
pub(super) mod links;
pub(super) mod mounts;
pub(super) mod process;
pub(super) mod script;
pub(super) mod security;
