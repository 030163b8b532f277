//! What is wrong with what a user wrote, and where.

use std::fmt;
use std::path::PathBuf;

use proto::ResourceKey;
use serde::Serialize;

/// Something in a source for a person to mend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SourceFault {
    /// The file, relative to the directory of the source (the directory itself if it is at fault).
    pub file: PathBuf,
    /// Line, from 1; none if the whole file is at fault.
    pub line: Option<usize>,
    /// The object, if it is known.
    pub object: Option<ResourceKey>,
    /// Path of the field, e.g. `metadata.name`; empty if it is not one field.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// `FILE:LINE: OBJECT: FIELD: problem; remedy`
impl fmt::Display for SourceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}; {}", self.problem, self.remedy)
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
            file,
            line: Some(first_line + self.line),
            object: self.object.clone(),
            field: self.field.clone(),
            problem: self.problem.clone(),
            remedy: self.remedy.clone(),
        }
    }
}
