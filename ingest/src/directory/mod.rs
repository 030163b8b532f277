//! A directory of YAML as a source of events.

mod file;
mod hold;
mod names;
mod places;
mod read;
mod scan;
mod settle;
mod tree;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use proto::{ClusterId, Epoch, Event, ResourceKey};
use tokio::sync::mpsc::Receiver;

pub use crate::source::{Batch, Known};
use crate::{KeyStore, Limits, SourceFault};
use tree::Tree;
use watch::Message;

/// What to watch.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory.
    pub path: PathBuf,
    /// The cluster that its objects belong to.
    pub cluster: ClusterId,
    /// The listing that the events belong to.
    pub epoch: Epoch,
    /// What the log already has, so that a restart emits only true differences.
    pub known: Vec<Known>,
    /// Bounds.
    pub limits: Limits,
}

impl Options {
    /// A directory of the local cluster, with nothing known of it.
    pub fn new(path: impl Into<PathBuf>) -> Options {
        Options {
            path: path.into(),
            cluster: ClusterId::LOCAL,
            epoch: Epoch(1),
            known: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file, relative to the directory of the source.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// A directory as it is now.
#[derive(Debug)]
pub struct Listing {
    /// One upsert an object, and a `Synced` for every kind.
    pub events: Vec<Event>,
    /// All that is wrong.
    pub faults: Vec<SourceFault>,
    /// The private keys.
    pub keys: Arc<KeyStore>,
    tree: Tree,
}

impl Listing {
    /// As [`Handle::locate`].
    pub fn locate(&self, fields: &[(ResourceKey, String)]) -> Vec<Option<Location>> {
        let sought: Vec<_> = fields.iter().map(|(key, _)| self.tree.sought(key)).collect();
        locate(fields, &sought, &self.tree.root, self.tree.limits())
    }
}

/// Why a directory cannot be a source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, or something else is.
    #[error("{}: not a directory that can be read ({error}); name a directory of YAML files", path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// No thread could be started.
    #[error("no thread for the watch of {}: {error}; raise the limit of threads", path.display())]
    Thread {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// A running source. Dropping it ends the watch.
#[derive(Debug)]
pub struct Handle {
    tree: Arc<RwLock<Tree>>,
    messages: std::sync::mpsc::Sender<Message>,
}

/// Watches a directory on a thread of its own. The first batches are the listing; when the receiver is
/// slow the source waits and loses nothing; when it is dropped the source ends.
///
/// A directory that cannot be watched is looked at now and then.
///
/// # Errors
/// If the directory is not there.
pub fn start(options: Options, keys: Arc<KeyStore>) -> Result<(Receiver<Batch>, Handle), Error> {
    let path = options.path.clone();
    readable(&options)?;
    let tree = Arc::new(RwLock::new(Tree::new(options, keys)));
    let (batches, receiver) = tokio::sync::mpsc::channel(16);
    let (messages, inbox) = std::sync::mpsc::channel();
    let watch = watch::Watch::new(tree.clone(), batches, messages.clone(), inbox);
    std::thread::Builder::new()
        .name("directory".into())
        .spawn(move || watch.run())
        .map_err(|error| Error::Thread { path, error })?;
    Ok((receiver, Handle { tree, messages }))
}

/// Reads a directory once, without watching it.
///
/// # Errors
/// If the directory is not there.
pub fn read_once(options: Options) -> Result<Listing, Error> {
    readable(&options)?;
    let keys = Arc::new(KeyStore::new());
    let mut tree = Tree::new(options, keys.clone());
    let scan = scan::scan(&tree.root, &tree.root, tree.limits(), &mut |_| ());
    tree.unread = scan.unread.into_iter().collect();
    let batch = tree.list(&scan.files, crate::source::unix_nanos());
    let faults = tree.faults();
    Ok(Listing { events: batch.events, faults, keys, tree })
}

fn readable(options: &Options) -> Result<(), Error> {
    std::fs::read_dir(&options.path)
        .map(drop)
        .map_err(|error| Error::Unreadable { path: options.path.clone(), error })
}

impl Handle {
    /// Where fields of objects, e.g. `spec.rules[0].matches[1].path.value`, or their closest ancestors,
    /// are written. Reads the files again, each once, while the source goes on; none for objects that are not in
    /// them any more.
    pub fn locate(&self, fields: &[(ResourceKey, String)]) -> Vec<Option<Location>> {
        let (sought, root, limits) = {
            let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
            let sought: Vec<_> = fields.iter().map(|(key, _)| tree.sought(key)).collect();
            (sought, tree.root.clone(), tree.limits().clone())
        };
        locate(fields, &sought, &root, &limits)
    }
}

fn locate(
    fields: &[(ResourceKey, String)],
    sought: &[Option<places::Sought>],
    root: &Path,
    limits: &Limits,
) -> Vec<Option<Location>> {
    places::locate(fields, sought, &mut |file| match read::read(&root.join(file), limits) {
        read::Read::Text(text, _) => Some(text),
        _ => None,
    })
}

impl Drop for Handle {
    fn drop(&mut self) {
        // An error means that the thread has ended already.
        let _ = self.messages.send(Message::Stop);
    }
}
