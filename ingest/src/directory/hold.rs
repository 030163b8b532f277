//! Files that are gone with their directory: a lost mount, a directory that is made anew, a link that leads
//! nowhere for a moment. They stay in effect for a while.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::file::RelativePath;
use super::tree::Tree;

/// Tells one directory from another at the same path. A new one may have the number of one that was removed, so
/// when it was made counts, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64, u64, Option<SystemTime>);

impl Identity {
    /// Of a directory that was removed or moved away: none that comes is the same.
    pub(super) const GONE: Identity = Identity(0, 0, None);

    fn of(metadata: &Metadata) -> Identity {
        Identity(metadata.dev(), metadata.ino(), metadata.created().ok())
    }

    /// None if nothing can be found out.
    pub(super) fn at(directory: &Path) -> Option<Identity> {
        std::fs::metadata(directory).ok().filter(Metadata::is_dir).map(|metadata| Identity::of(&metadata))
    }
}

/// The files that are held, and until when.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<RelativePath, Instant>);

impl Held {
    pub(super) fn hold(&mut self, file: RelativePath, until: Instant) {
        self.0.entry(file).or_insert(until);
    }

    /// Until when a file is held, if it is.
    pub(super) fn until(&self, file: &Path) -> Option<Instant> {
        self.0.get(file).copied()
    }

    pub(super) fn release(&mut self, file: &Path) {
        self.0.remove(file);
    }

    /// Lets go of those that are back; true if some are left.
    pub(super) fn prune(&mut self, tree: &Tree) -> bool {
        self.0.retain(|file, _| tree.files.get(file).is_some_and(|file| file.leaving));
        !self.0.is_empty()
    }
}

/// True if a file that is leaving goes with its directory, and not alone.
pub(super) fn is_lost(tree: &Tree, file: &Path, directories: &BTreeMap<PathBuf, Option<Identity>>) -> bool {
    let path = tree.root.join(file);
    // What stands in the place of the directory, or a link that leads nowhere.
    let replaced = path.ancestors().skip(1).take_while(|above| above.starts_with(&tree.root)).any(|above| {
        let known = directories.get(above).copied().flatten();
        Identity::at(above).is_some_and(|now| known.is_some_and(|known| known != now)) || is_dangling(above)
    });
    replaced || is_dangling(&path)
}

/// True if nothing is left of all files.
pub(super) fn is_empty(tree: &Tree) -> bool {
    tree.files.values().all(|file| file.leaving)
}

fn is_dangling(path: &Path) -> bool {
    path.is_symlink() && !path.exists()
}
