//! Listing directories.

use std::io;
use std::path::{Path, PathBuf};

use super::names::{is_hidden, is_source};
use crate::Limits;

/// What is below a directory.
pub(super) struct Scan {
    /// All source files, as full paths.
    pub(super) files: Vec<PathBuf>,
    /// Directories that are there and cannot be listed, and why.
    pub(super) unread: Vec<(PathBuf, String)>,
}

/// Lists `directory`. `enter` is called with every directory before it is listed, so that a watch set there misses
/// nothing. Symbolic links are followed, loops are not.
pub(super) fn scan(root: &Path, directory: &Path, limits: &Limits, enter: &mut dyn FnMut(&Path)) -> Scan {
    let mut files = Vec::new();
    let mut unread = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        if directory != root && !may_enter(root, &directory, limits) {
            continue;
        }
        enter(&directory);
        let entries = std::fs::read_dir(&directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) => continue,
            Err(error) => {
                unread.push((directory, error.to_string()));
                continue;
            }
        };
        for entry in entries {
            let name = entry.file_name();
            if is_hidden(&name) {
                continue;
            }
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir() || (kind.is_symlink() && path.is_dir())) {
                pending.push(path);
            } else if is_source(&name) {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    Scan { files, unread }
}

/// True if an error says that there is nothing, and not that it cannot be looked at.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// False for links to a directory that they are in, and for what is too deep.
fn may_enter(root: &Path, directory: &Path, limits: &Limits) -> bool {
    let Ok(relative) = directory.strip_prefix(root) else { return false };
    if relative.components().count() > limits.directory_depth {
        return false;
    }
    let target = match directory.canonicalize() {
        Ok(target) => target,
        // What may pass is met again when it is listed.
        Err(error) => return !is_gone(&error),
    };
    !directory
        .ancestors()
        .skip(1)
        .take_while(|ancestor| ancestor.starts_with(root))
        .any(|ancestor| ancestor.canonicalize().is_ok_and(|ancestor| ancestor == target))
}
