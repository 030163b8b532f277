//! Listing directories.

use std::path::{Path, PathBuf};

use super::names::{is_hidden, is_source};
use crate::Limits;

/// All source files below `directory`, as full paths. `enter` is called with every directory before it
/// is listed, so that a watch set there misses nothing. Symbolic links are followed, loops are not.
pub(super) fn scan(
    root: &Path,
    directory: &Path,
    limits: &Limits,
    enter: &mut dyn FnMut(&Path),
) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        if directory != root && !may_enter(root, &directory, limits) {
            continue;
        }
        enter(&directory);
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
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
    files
}

/// False for links to a directory that they are in, and for what is too deep.
fn may_enter(root: &Path, directory: &Path, limits: &Limits) -> bool {
    let Ok(relative) = directory.strip_prefix(root) else { return false };
    if relative.components().count() > limits.directory_depth {
        return false;
    }
    let Ok(target) = directory.canonicalize() else { return false };
    !directory
        .ancestors()
        .skip(1)
        .take_while(|ancestor| ancestor.starts_with(root))
        .any(|ancestor| ancestor.canonicalize().is_ok_and(|ancestor| ancestor == target))
}
