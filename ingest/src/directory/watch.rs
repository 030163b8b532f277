//! The thread that waits for notifications and turns them into batches.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::Batch;
use super::file::RelativePath;
use super::names::{is_hidden, is_source};
use super::scan::scan;
use super::tree::{Loaded, Pass, Taking, Tree};
use crate::source::unix_nanos;

/// How often a directory that has vanished is looked for.
const RETURN_POLL: Duration = Duration::from_secs(1);

/// What wakes the thread.
#[derive(Debug)]
pub(super) enum Message {
    /// A notification, with the time at which it came.
    Notified(i64, notify::Result<notify::Event>),
    /// The handle is gone.
    Stop,
}

/// The watch of one directory.
pub(super) struct Watch {
    tree: Arc<RwLock<Tree>>,
    root: PathBuf,
    batches: mpsc::Sender<Batch>,
    messages: Sender<Message>,
    inbox: Receiver<Message>,
    watcher: RecommendedWatcher,
    /// Directories with a watch.
    watched: BTreeSet<PathBuf>,
    /// Files written to and not yet closed.
    writing: BTreeSet<PathBuf>,
    /// When to look again at files that are leaving or busy.
    again: BTreeMap<RelativePath, Instant>,
}

/// What a run of notifications asks for.
#[derive(Default)]
struct Work {
    files: BTreeSet<PathBuf>,
    /// Files that were removed or moved away. If something stands in their place it is being written.
    departed: BTreeSet<PathBuf>,
    directories: BTreeSet<PathBuf>,
    /// The watch itself may be stale.
    all: bool,
}

impl Watch {
    pub(super) fn new(
        tree: Arc<RwLock<Tree>>,
        batches: mpsc::Sender<Batch>,
        messages: Sender<Message>,
        inbox: Receiver<Message>,
    ) -> notify::Result<Watch> {
        let root = tree.read().unwrap_or_else(PoisonError::into_inner).root.clone();
        let mut watcher = watcher(&messages)?;
        watcher.watch(&root, RecursiveMode::NonRecursive)?;
        let (watched, writing, again) = (BTreeSet::from([root.clone()]), BTreeSet::new(), BTreeMap::new());
        Ok(Watch { tree, root, batches, messages, inbox, watcher, watched, writing, again })
    }

    pub(super) fn run(mut self) {
        let files = self.scan(&self.root.clone());
        let batch = {
            let tree = self.tree.clone();
            let mut tree = tree.write().unwrap_or_else(PoisonError::into_inner);
            let batch = tree.list(&files, unix_nanos());
            let busy: Vec<_> =
                tree.files.iter().filter(|(_, file)| file.busy).map(|(path, _)| path.clone()).collect();
            let at = Instant::now() + tree.limits().removal_grace;
            self.again.extend(busy.into_iter().map(|path| (path, at)));
            batch
        };
        if self.batches.blocking_send(batch).is_err() {
            return;
        }
        while let Some((observed, work)) = self.wait() {
            let batch = self.work(work, observed);
            if (!batch.events.is_empty() || batch.faults.is_some())
                && self.batches.blocking_send(batch).is_err()
            {
                return;
            }
        }
    }

    /// Waits for something to do and takes all there is; none at the end.
    fn wait(&mut self) -> Option<(i64, Work)> {
        let mut work = Work::default();
        let vanished = self.tree.read().unwrap_or_else(PoisonError::into_inner).vanished;
        let deadline = self.again.values().min().copied();
        let deadline = if vanished { Some(Instant::now() + RETURN_POLL) } else { deadline };
        let first = match deadline {
            None => self.inbox.recv().ok()?,
            Some(deadline) => {
                match self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => {
                        work.all = vanished;
                        return Some((unix_nanos(), work));
                    }
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
            }
        };
        let mut observed = None;
        let mut next = Some(first);
        while let Some(message) = next {
            let Message::Notified(at, event) = message else { return None };
            observed.get_or_insert(at);
            self.sort_out(event, &mut work);
            next = self.inbox.try_recv().ok();
        }
        Some((observed.unwrap_or_else(unix_nanos), work))
    }

    fn sort_out(&mut self, event: notify::Result<notify::Event>, work: &mut Work) {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            _ => {
                work.all = true;
                return;
            }
        };
        let Some(path) = event.paths.first() else { return };
        if *path == self.root {
            work.all |= matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
            return;
        }
        let Some((name, parent)) = path.file_name().zip(path.parent()) else { return };
        if is_hidden(name) {
            // Kubernetes swaps a mounted ConfigMap by renaming its `..data` link.
            let swap = matches!(event.kind, EventKind::Modify(ModifyKind::Name(_)) | EventKind::Create(_));
            if swap && name.as_encoded_bytes().starts_with(b"..") {
                work.directories.insert(parent.to_owned());
            }
            return;
        }
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                self.writing.remove(path);
                work.files.insert(path.clone());
            }
            EventKind::Modify(ModifyKind::Data(_)) => {
                self.writing.insert(path.clone());
            }
            EventKind::Modify(ModifyKind::Metadata(_)) if self.is_unusable(path) => {
                work.files.insert(path.clone());
            }
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                self.left(path, work);
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => arrived(path, work),
            EventKind::Create(CreateKind::Folder) => {
                work.directories.insert(path.clone());
            }
            // A regular file that was just created is empty; it counts when it is closed.
            EventKind::Create(_) if is_complete(path) => arrived(path, work),
            EventKind::Create(_) => {
                self.writing.insert(path.clone());
            }
            _ => {}
        }
    }

    fn is_unusable(&self, path: &Path) -> bool {
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        let file = path.strip_prefix(&self.root).ok().and_then(|path| tree.files.get(path));
        file.is_some_and(|file| file.unusable.is_some())
    }

    fn left(&mut self, path: &Path, work: &mut Work) {
        self.writing.remove(path);
        let stale: Vec<PathBuf> =
            self.watched.iter().filter(|directory| directory.starts_with(path)).cloned().collect();
        for directory in stale {
            self.watched.remove(&directory);
            // It may be gone with its watch already.
            let _ = self.watcher.unwatch(&directory);
        }
        let Ok(relative) = path.strip_prefix(&self.root) else { return };
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        work.departed.extend(tree.below(relative).iter().map(|file| self.root.join(file)));
    }

    fn scan(&mut self, directory: &Path) -> Vec<PathBuf> {
        let limits = self.tree.read().unwrap_or_else(PoisonError::into_inner).limits().clone();
        let (watcher, watched) = (&mut self.watcher, &mut self.watched);
        scan(&self.root, directory, &limits, &mut |directory| {
            // A directory that cannot be watched cannot be listed either, or has just gone.
            if watched.insert(directory.to_owned())
                && watcher.watch(directory, RecursiveMode::NonRecursive).is_err()
            {
                watched.remove(directory);
            }
        })
    }

    fn work(&mut self, mut work: Work, observed: i64) -> Batch {
        let vanished = self.tree.read().unwrap_or_else(PoisonError::into_inner).vanished;
        if (work.all || vanished) && !self.begin_anew(&mut work) {
            let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
            tree.vanished = true;
            return tree.settle(Pass::default(), observed);
        }
        for directory in std::mem::take(&mut work.directories) {
            self.rescan(&directory, &mut work.files);
        }
        let tree = self.tree.clone();
        let mut tree = tree.write().unwrap_or_else(PoisonError::into_inner);
        let mut pass = Pass::default();
        self.look_again(&mut tree, &mut pass);
        let again = Instant::now() + tree.limits().removal_grace;
        for file in work.departed {
            let Some(path) = tree.relative(&file) else { continue };
            if tree.leave(&path, &mut pass) {
                self.again.insert(path, again);
            }
        }
        for file in work.files {
            if self.writing.contains(&file) || !file.file_name().is_some_and(is_source) {
                continue;
            }
            let Some(path) = tree.relative(&file) else { continue };
            if tree.load(&path, Taking::Changes, &mut pass) != Loaded::Done {
                self.again.insert(path, again);
            }
        }
        tree.settle(pass, observed)
    }

    /// Decides about files that were leaving or busy a while ago.
    fn look_again(&mut self, tree: &mut Tree, pass: &mut Pass) {
        let now = Instant::now();
        let due: Vec<RelativePath> =
            self.again.iter().filter(|(_, at)| **at <= now).map(|(path, _)| path.clone()).collect();
        for path in due {
            self.again.remove(&path);
            if tree.files.get(&path).is_some_and(|file| file.leaving) {
                tree.depart(&path, pass);
            } else if !self.writing.contains(&self.root.join(&path))
                && tree.load(&path, Taking::AsItIs, pass) != Loaded::Done
            {
                self.again.insert(path, now + tree.limits().removal_grace);
            }
        }
    }

    /// Sets all watches again and asks for a full rescan; false if the directory is not there.
    fn begin_anew(&mut self, work: &mut Work) -> bool {
        let Ok(mut watcher) = watcher(&self.messages) else { return false };
        if !self.root.is_dir() || watcher.watch(&self.root, RecursiveMode::NonRecursive).is_err() {
            self.again.clear();
            return false;
        }
        self.watcher = watcher;
        self.watched = BTreeSet::from([self.root.clone()]);
        self.writing.clear();
        self.tree.write().unwrap_or_else(PoisonError::into_inner).vanished = false;
        work.directories = BTreeSet::from([self.root.clone()]);
        true
    }

    /// Finds the files of a directory that are new, changed or gone.
    fn rescan(&mut self, directory: &Path, files: &mut BTreeSet<PathBuf>) {
        let found = self.scan(directory);
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        let Ok(relative) = directory.strip_prefix(&self.root) else { return };
        let known = tree.below(relative).into_iter().map(|file| self.root.join(file));
        files.extend(known.filter(|file| found.binary_search(file).is_err()));
        files.extend(found.iter().filter(|file| tree.is_stale(file)).cloned());
    }
}

fn watcher(messages: &Sender<Message>) -> notify::Result<RecommendedWatcher> {
    let messages = messages.clone();
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading would wake us otherwise.
        if event.as_ref().is_ok_and(|event| matches!(event.kind, EventKind::Access(AccessKind::Open(_)))) {
            return;
        }
        // An error means that the source has ended.
        let _ = messages.send(Message::Notified(unix_nanos(), event));
    })
}

fn arrived(path: &Path, work: &mut Work) {
    if path.is_dir() {
        work.directories.insert(path.to_owned());
    } else {
        work.files.insert(path.to_owned());
    }
}

/// True for links, which nobody closes.
fn is_complete(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink() || metadata.nlink() > 1)
}
