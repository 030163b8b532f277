//! Translation against goldens, by scripts, and against itself from scratch.

// Helpers of tests, which clippy does not know as such; tests may see their environment.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod equivalence;
mod golden;
mod scripts;
mod yaml;
