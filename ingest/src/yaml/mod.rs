//! YAML as Kubernetes reads it, with line numbers.

mod compose;
mod json;
mod lines;
mod scalar;
mod split;

pub use compose::compose;
pub(crate) use json::compose_json;
pub(crate) use lines::Lines;
pub use split::{Chunk, split};

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {}: {problem}; {remedy}", .line + 1)]
pub struct SyntaxError {
    /// Line in the document, from 0.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}
