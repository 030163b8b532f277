//! How much a source reads before it refuses.

use std::time::Duration;

use proto::{Fault, ResourceKey};
use serde_json::Value;

/// Bounds on what one file may cost. What is beyond them is a fault, never a crash or a swollen process.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Documents in one file.
    pub documents_per_file: usize,
    /// Objects of one document (of a `List`).
    pub objects_per_document: usize,
    /// Nesting of maps and lists in one document.
    pub depth: usize,
    /// Values that aliases and merge keys may add to one document.
    pub alias_values: usize,
    /// Levels of directories below the source's own.
    pub directory_depth: usize,
    /// How long a vanished file may take to come back before its objects are deleted. Editors and
    /// `git checkout` replace a file by removing and creating it; this keeps that from being a deletion.
    pub removal_grace: Duration,
    /// How long files that are gone with their directory (it is empty, or another one stands in its place) stay in
    /// effect: a mount that is lost for a moment, or a directory that is made anew, deletes nothing.
    pub directory_grace: Duration,
    /// How often what could not be read, or cannot be watched, is looked at again.
    pub poll: Duration,
    /// What an API server's schema would refuse. An object with such faults is not taken: its last good
    /// version stays in effect.
    pub schema: Schema,
}

/// Says what is wrong with the form of an object; nothing for a good one.
pub type Schema = fn(&ResourceKey, &Value) -> Vec<Fault>;

fn anything_goes(_: &ResourceKey, _: &Value) -> Vec<Fault> {
    Vec::new()
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            file_bytes: 4 << 20,
            documents_per_file: 50_000,
            objects_per_document: 50_000,
            depth: 64,
            alias_values: 10_000,
            directory_depth: 32,
            removal_grace: Duration::from_millis(20),
            directory_grace: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            schema: anything_goes,
        }
    }
}
