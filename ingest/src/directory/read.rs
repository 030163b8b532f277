//! Reading one file, with bounds.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::Limits;

/// What tells that a file is another than the one read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn same_content(&self, other: &Stamp) -> bool {
        self.bytes == other.bytes && self.modified == other.modified && self.inode == other.inode
    }
}

/// What came of reading a file.
pub(super) enum Read {
    /// Its text.
    Text(String, Stamp),
    /// It cannot be used as it is: problem and remedy.
    Unusable(String, String),
    /// The system refuses to read it, which may pass: problem and remedy.
    Failed(String, String),
    /// It is not there.
    Gone,
    /// It changed while it was read: somebody is writing it.
    Busy,
}

pub(super) fn read(path: &Path, limits: &Limits) -> Read {
    match try_read(path, limits) {
        Ok(read) => read,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Read::Gone,
        Err(error) => {
            let remedy = match error.kind() {
                ErrorKind::PermissionDenied => "let the user that runs fleetgate read it (chmod, chown)",
                _ => "see to it that it can be read; it is tried again",
            };
            Read::Failed(format!("the file cannot be read: {error}"), remedy.to_owned())
        }
    }
}

fn try_read(path: &Path, limits: &Limits) -> std::io::Result<Read> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Ok(Read::Unusable("it is not a regular file".into(), "put a regular file there".into()));
    }
    let mut file = File::open(path)?;
    let before = Stamp::of(&file.metadata()?);
    if before.bytes > limits.file_bytes {
        return Ok(too_large(before.bytes, limits));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.bytes).unwrap_or_default() + 1);
    file.by_ref().take(limits.file_bytes + 1).read_to_end(&mut bytes)?;
    let after = Stamp::of(&file.metadata()?);
    if !before.same_content(&after) {
        return Ok(Read::Busy);
    }
    if bytes.len() as u64 > limits.file_bytes {
        return Ok(too_large(bytes.len() as u64, limits));
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Read::Text(text, after),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = memchr::memchr_iter(b'\n', good).count() + 1;
            Read::Unusable(format!("line {line} is not UTF-8"), "save the file as UTF-8".into())
        }
    })
}

fn too_large(bytes: u64, limits: &Limits) -> Read {
    let problem = format!("the file has {bytes} bytes, more than the limit of {}", limits.file_bytes);
    Read::Unusable(problem, "split it into several files".into())
}
