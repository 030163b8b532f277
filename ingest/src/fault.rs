//! What is wrong with what a user wrote, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use proto::ResourceKey;
use serde::Serialize;

/// Where a fault is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Place {
    /// In a directory.
    File {
        /// The file, relative to the directory of the source (the directory itself if it is at fault).
        path: PathBuf,
        /// Line, from 1; none if the whole file is at fault.
        line: Option<usize>,
    },
    /// In an API server as such, or in one of its resources, e.g. `gateways.gateway.networking.k8s.io`.
    Api(String),
    /// In an object of an API server.
    Object,
}

/// Something in a source for a person to mend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SourceFault {
    /// Where it is.
    pub place: Place,
    /// The object, if it is known.
    pub object: Option<ResourceKey>,
    /// Path of the field, e.g. `metadata.name`; empty if it is not one field.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl SourceFault {
    /// The file that it is in.
    pub fn file(&self) -> Option<&Path> {
        let Place::File { path, .. } = &self.place else { return None };
        Some(path)
    }

    /// The line of the file, from 1.
    pub fn line(&self) -> Option<usize> {
        let Place::File { line, .. } = &self.place else { return None };
        *line
    }
}

/// `FILE:LINE: OBJECT: FIELD: problem; remedy`, with the API's resource for the file where there is none.
/// The alternate form (`{:#}`) leaves out the remedy, for faults that are mended.
impl fmt::Display for SourceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { path, line: None } => write!(f, "{}: ", path.display())?,
            Place::File { path, line: Some(line) } => write!(f, "{}:{line}: ", path.display())?,
            Place::Api(resource) => write!(f, "{resource}: ")?,
            Place::Object => {}
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)?;
        if f.alternate() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

/// A fault inside one document: its line counts from the document's first, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DocumentFault {
    pub(crate) line: usize,
    pub(crate) object: Option<ResourceKey>,
    pub(crate) field: String,
    pub(crate) problem: String,
    pub(crate) remedy: String,
}

impl DocumentFault {
    /// Places the fault in a file.
    pub(crate) fn placed(&self, file: PathBuf, first_line: usize) -> SourceFault {
        SourceFault {
            place: Place::File { path: file, line: Some(first_line + self.line) },
            object: self.object.clone(),
            field: self.field.clone(),
            problem: self.problem.clone(),
            remedy: self.remedy.clone(),
        }
    }
}
