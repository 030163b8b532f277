//! Translation against goldens, by scripts, and against itself from scratch.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not know as such

mod equivalence;
mod golden;
mod scripts;
mod yaml;
