//! The thread that waits for notifications and turns them into batches.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::Batch;
use super::file::RelativePath;
use super::hold::{Held, Identity, is_empty, is_lost};
use super::names::{is_hidden, is_source};
use super::scan::scan;
use super::tree::{Loaded, Pass, Taking, Tree};
use crate::source::unix_nanos;

/// While files keep leaving, none counts as gone, for so many times the grace of one: a directory that is removed
/// file by file is to be seen as a whole.
const DEPARTURES: u32 = 100;

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
    /// None while the system refuses to give one.
    watcher: Option<RecommendedWatcher>,
    /// Directories that are known, and which they were.
    watched: BTreeMap<PathBuf, Option<Identity>>,
    /// Those of them whose watch went away, or could not be had.
    unwatched: BTreeSet<PathBuf>,
    /// Files written to and not yet closed.
    writing: BTreeSet<PathBuf>,
    /// When to look again at files that are leaving or busy.
    again: BTreeMap<RelativePath, Instant>,
    /// Files that are gone with their directory.
    held: Held,
    /// When the run of departures that goes on began, and its last one was.
    departures: Option<(Instant, Instant)>,
    /// When to look at what no notification tells of.
    poll: Instant,
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
    /// It is time to look at what no notification tells of.
    poll: bool,
}

impl Watch {
    pub(super) fn new(
        tree: Arc<RwLock<Tree>>,
        batches: mpsc::Sender<Batch>,
        messages: Sender<Message>,
        inbox: Receiver<Message>,
    ) -> Watch {
        let (root, interval) = {
            let tree = read(&tree);
            (tree.root.clone(), tree.limits().poll)
        };
        Watch {
            watcher: watcher(&messages).ok(),
            tree,
            root,
            batches,
            messages,
            inbox,
            watched: BTreeMap::new(),
            unwatched: BTreeSet::new(),
            writing: BTreeSet::new(),
            again: BTreeMap::new(),
            held: Held::default(),
            departures: None,
            poll: Instant::now() + interval,
        }
    }

    pub(super) fn run(mut self) {
        let (files, _) = self.scan(&self.root.clone());
        let batch = {
            let tree = self.tree.clone();
            let mut tree = tree.write().unwrap_or_else(PoisonError::into_inner);
            let batch = tree.list(&files, unix_nanos());
            let busy: Vec<_> =
                tree.files.iter().filter(|(_, file)| file.busy).map(|(path, _)| path.clone()).collect();
            let at = Instant::now() + tree.limits().removal_grace;
            self.again.extend(busy.into_iter().map(|path| (path, at)));
            self.retry_failed(&tree);
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
        let deadline = self.again.values().min().copied().map_or(self.poll, |again| again.min(self.poll));
        let first = match self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                work.poll = self.is_time_to_poll();
                return Some((unix_nanos(), work));
            }
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        let mut observed = None;
        let mut next = Some(first);
        while let Some(message) = next {
            let Message::Notified(at, event) = message else { return None };
            observed.get_or_insert(at);
            self.sort_out(event, &mut work);
            next = self.inbox.try_recv().ok();
        }
        work.poll = self.is_time_to_poll();
        Some((observed.unwrap_or_else(unix_nanos), work))
    }

    fn is_time_to_poll(&mut self) -> bool {
        let now = Instant::now();
        let is_time = now >= self.poll;
        if is_time {
            self.poll = now + read(&self.tree).limits().poll;
        }
        is_time
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
            if matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))) {
                work.all = true;
                self.watched.insert(path.clone(), Some(Identity::GONE));
            }
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
        let tree = read(&self.tree);
        let file = path.strip_prefix(&self.root).ok().and_then(|path| tree.files.get(path));
        file.is_some_and(|file| file.unusable.is_some())
    }

    fn left(&mut self, path: &Path, work: &mut Work) {
        self.writing.remove(path);
        let stale: Vec<PathBuf> =
            self.watched.keys().filter(|directory| directory.starts_with(path)).cloned().collect();
        for directory in stale {
            if let Some(watcher) = &mut self.watcher {
                // It may be gone with its watch already.
                let _ = watcher.unwatch(&directory);
            }
            self.unwatched.insert(directory.clone());
            // Remembered, should another one stand in its place soon.
            self.watched.insert(directory, Some(Identity::GONE));
        }
        let Ok(relative) = path.strip_prefix(&self.root) else { return };
        let tree = read(&self.tree);
        work.departed.extend(tree.below(relative).iter().map(|file| self.root.join(file)));
    }

    /// The files below a directory, and which directories are other ones than before.
    fn scan(&mut self, directory: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let limits = read(&self.tree).limits().clone();
        let (mut faults, mut replaced) = (BTreeMap::new(), Vec::new());
        let (watcher, watched, unwatched) = (&mut self.watcher, &mut self.watched, &mut self.unwatched);
        let scan = scan(&self.root, directory, &limits, &mut |directory| {
            let now = Identity::at(directory);
            let before = watched.insert(directory.to_owned(), now);
            let is_other = before.is_some_and(|before| before.is_some() && now.is_some() && before != now);
            if is_other {
                replaced.push(directory.to_owned());
            }
            let has_watch = before.is_some() && !is_other;
            if (unwatched.remove(directory) || !has_watch)
                && let Err(error) = watch(watcher.as_mut(), directory)
            {
                unwatched.insert(directory.to_owned());
                faults.insert(directory.to_owned(), error);
            }
        });
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        tree.unwatched.retain(|known, _| !known.starts_with(directory));
        tree.unwatched.append(&mut faults);
        tree.unread.retain(|known, _| !known.starts_with(directory));
        tree.unread.extend(scan.unread);
        (scan.files, replaced)
    }

    fn work(&mut self, mut work: Work, observed: i64) -> Batch {
        let vanished = read(&self.tree).vanished;
        if work.poll {
            self.look_around(&mut work);
        }
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
        let now = Instant::now();
        if !work.departed.is_empty() {
            let begun = self.departures.map_or(now, |(begun, _)| begun);
            self.departures = Some((begun, now));
        }
        self.look_again(&mut tree, &mut pass);
        let again = now + tree.limits().removal_grace;
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
            match tree.load(&path, Taking::Changes, &mut pass) {
                Loaded::Done | Loaded::Failed => {}
                Loaded::Gone | Loaded::Busy => drop(self.again.insert(path, again)),
            }
        }
        tree.bereft = self.held.prune(&tree);
        let batch = tree.settle(pass, observed);
        self.retry_failed(&tree);
        batch
    }

    /// What the system refused to read is tried again with the next look around.
    fn retry_failed(&mut self, tree: &Tree) {
        for file in &tree.failed {
            self.again.entry(file.clone()).or_insert(self.poll);
        }
    }

    /// Asks for all that no notification tells of: another directory in the place of one, what cannot be watched,
    /// what could not be read.
    fn look_around(&mut self, work: &mut Work) {
        let tree = read(&self.tree);
        let is_other = |(directory, known): (&PathBuf, &Option<Identity>)| {
            known.is_some() && Identity::at(directory) != *known
        };
        let root = self.watched.get_key_value(&self.root);
        work.all |= self.watcher.is_none() || root.is_some_and(is_other);
        let others = self.watched.iter().filter(|one| is_other(*one)).map(|(directory, _)| directory);
        let troubled = tree.unwatched.keys().chain(tree.unread.keys());
        work.directories.extend(others.chain(troubled).cloned());
    }

    /// Decides about files that were leaving or busy a while ago.
    fn look_again(&mut self, tree: &mut Tree, pass: &mut Pass) {
        let now = Instant::now();
        let grace = tree.limits().removal_grace;
        let limit = grace * DEPARTURES;
        self.departures = self.departures.filter(|(begun, last)| now < *last + grace && now < *begun + limit);
        let pause = self.departures.map(|(_, last)| last + grace);
        let due: Vec<RelativePath> =
            self.again.iter().filter(|(_, at)| **at <= now).map(|(path, _)| path.clone()).collect();
        // What cannot be listed may be where a file has gone.
        let is_empty = !due.is_empty() && (is_empty(tree) || !tree.unread.is_empty());
        let until = now + tree.limits().directory_grace;
        for path in due {
            self.again.remove(&path);
            if tree.files.get(&path).is_some_and(|file| file.leaving) {
                let held = self.held.until(&path);
                let lost = || is_empty || is_lost(tree, &path, &self.watched);
                let wait = match (held, pause) {
                    (Some(until), _) => Some(until).filter(|until| now < *until),
                    (None, Some(pause)) => Some(pause),
                    (None, None) => lost().then_some(until),
                };
                match wait {
                    Some(wait) => {
                        if wait == until {
                            self.held.hold(path.clone(), until);
                        }
                        self.again.insert(path, wait);
                    }
                    None => {
                        self.held.release(&path);
                        tree.depart(&path, pass);
                    }
                }
            } else if !self.writing.contains(&self.root.join(&path)) {
                let taking = if tree.failed.contains(&path) { Taking::Contents } else { Taking::AsItIs };
                match tree.load(&path, taking, pass) {
                    Loaded::Done | Loaded::Failed => {}
                    Loaded::Gone | Loaded::Busy => drop(self.again.insert(path, now + grace)),
                }
            }
        }
    }

    /// Sets all watches again and asks for a full rescan; false if the directory is not there.
    fn begin_anew(&mut self, work: &mut Work) -> bool {
        if !self.root.is_dir() {
            self.again.clear();
            return false;
        }
        self.watcher = watcher(&self.messages).ok();
        self.unwatched = self.watched.keys().cloned().collect();
        self.writing.clear();
        self.tree.write().unwrap_or_else(PoisonError::into_inner).vanished = false;
        work.directories = BTreeSet::from([self.root.clone()]);
        true
    }

    /// Finds the files of a directory that are new, changed or gone. If it is another directory than before, those
    /// that are gone are held.
    fn rescan(&mut self, directory: &Path, files: &mut BTreeSet<PathBuf>) {
        if !directory.exists() {
            self.watched.remove(directory);
            self.unwatched.remove(directory);
        }
        let (found, replaced) = self.scan(directory);
        let tree = read(&self.tree);
        let Ok(relative) = directory.strip_prefix(&self.root) else { return };
        let until = Instant::now() + tree.limits().directory_grace;
        for file in tree.below(relative) {
            let path = self.root.join(&file);
            if found.binary_search(&path).is_ok() {
                continue;
            }
            if replaced.iter().any(|directory| path.starts_with(directory)) {
                self.held.hold(file, until);
            }
            files.insert(path);
        }
        files.extend(found.iter().filter(|file| tree.is_stale(file)).cloned());
    }
}

fn read(tree: &RwLock<Tree>) -> RwLockReadGuard<'_, Tree> {
    tree.read().unwrap_or_else(PoisonError::into_inner)
}

/// Why a directory cannot be watched, if it cannot.
fn watch(watcher: Option<&mut RecommendedWatcher>, directory: &Path) -> Result<(), String> {
    let Some(watcher) = watcher else { return Err("the system has no watch left".to_owned()) };
    // Of another directory that was there before.
    let _ = watcher.unwatch(directory);
    match watcher.watch(directory, RecursiveMode::NonRecursive) {
        // It has just gone, which its parent tells.
        Err(_) if !directory.exists() => Ok(()),
        watched => watched.map_err(|error| error.to_string()),
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
