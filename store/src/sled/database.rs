//! Opening sled, and telling what is wrong with it.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use proto::Revision;
use sled::Batch;
use tokio::sync::watch;

use super::{
    layout::{FLOOR_KEY, FORMAT, FORMAT_KEY, IDENTITY_KEY, pieces_after, revision_and_piece},
    reading::Reading,
};
use crate::{Error, LogId, log::random_identity, retention::Floor};

/// Pages that sled keeps in memory: enough for the index of ten thousand objects.
const CACHE_BYTES: u64 = 4 << 20;
/// How often sled tidies its file, in the background.
const TIDY_MILLIS: u64 = 1000;
/// Free space below which nothing is written. sled tidies its file into it in the background, and once a
/// write of its own fails it refuses all others.
const RESERVE_BYTES: u64 = 16 << 20;
/// How often and how long to wait for sled to let go of its file: two seconds in all.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The directory of a log, and sled while it is well.
#[derive(Debug)]
pub(super) struct Database {
    dir: PathBuf,
    identity: LogId,
    /// The newest durable revision.
    head: watch::Sender<Revision>,
    /// The newest that sled has; what is between the two is in the journal.
    settled: AtomicU64,
    /// None after a failure, until it is opened anew.
    open: RwLock<Option<Open>>,
    /// Held as long as this lives.
    lock: File,
}

/// sled, open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) db: sled::Db,
    /// sled's flush leaves the data in the disk's cache and the file's size in memory.
    file: File,
    pub(super) floor: Floor,
}

impl Database {
    pub(super) fn open(dir: &Path) -> Result<Database, Error> {
        let directory =
            |error: io::Error| Error::Directory { dir: dir.to_owned(), reason: error.to_string() };
        fs::create_dir_all(dir).map_err(directory)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))
            .map_err(|error| if out_of_space(&error) { full(dir, 0) } else { directory(error) })?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::Locked { dir: dir.to_owned() },
            TryLockError::Error(error) => directory(error),
        })?;
        let (open, identity, head) = start(dir)?;
        Ok(Database {
            dir: dir.to_owned(),
            identity,
            head: watch::Sender::new(head),
            settled: AtomicU64::new(head.0),
            open: RwLock::new(Some(open)),
            lock,
        })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn identity(&self) -> LogId {
        self.identity
    }

    pub(super) fn head(&self) -> Revision {
        *self.head.borrow()
    }

    pub(super) fn settled(&self) -> Revision {
        Revision(self.settled.load(Ordering::Acquire))
    }

    pub(super) fn set_head(&self, head: Revision) {
        self.head.send_replace(head);
    }

    pub(super) fn watch_head(&self) -> watch::Receiver<Revision> {
        self.head.subscribe()
    }

    pub(super) fn directory_error(&self, error: io::Error) -> Error {
        Error::Directory { dir: self.dir.clone(), reason: error.to_string() }
    }

    /// Fails if less than the reserve would be left.
    pub(super) fn check_space(&self, bytes: usize) -> Result<(), Error> {
        check_space(&self.dir, bytes)
    }

    /// Runs a read of what sled has. Compaction and reopening wait for it. After a failure it opens sled again first.
    pub(super) fn reading<T>(&self, read: impl FnOnce(&Reading<'_>) -> Result<T, Error>) -> Result<T, Error> {
        if self.open.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.reopen()?;
        }
        let guard = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let open = guard.as_ref().ok_or_else(|| self.storage_error("an earlier write failed"))?;
        let reading = Reading { open, head: self.settled(), dir: &self.dir };
        guarded(&self.dir, || read(&reading))
    }

    /// Writes a batch that ends with a revision and makes it durable, while reads go on: they look no further than
    /// what was settled.
    pub(super) fn append(&self, batch: Batch, last: Revision) -> Result<(), Error> {
        let written = {
            let guard = self.open.read().unwrap_or_else(PoisonError::into_inner);
            let open = guard.as_ref().ok_or_else(|| self.storage_error("an earlier write failed"))?;
            guarded(&self.dir, || open.write(batch).map_err(|error| self.storage_error(error)))
        };
        match &written {
            Ok(()) => self.settled.store(last.0, Ordering::Release),
            Err(_) => self.close(),
        }
        written
    }

    /// Writes a batch that takes away what readers may be looking at.
    pub(super) fn compact(&self, batch: Batch, floor: Floor) -> Result<(), Error> {
        let written = {
            let mut guard = self.open.write().unwrap_or_else(PoisonError::into_inner);
            let open = guard.as_mut().ok_or_else(|| self.storage_error("an earlier write failed"))?;
            let written = guarded(&self.dir, || open.write(batch).map_err(|error| self.storage_error(error)));
            open.floor = floor;
            written
        };
        written.inspect_err(|_| self.close())
    }

    /// After a failed write sled refuses all others: let go of it, open it anew, and if that fails let
    /// the next write try again. What the failed write left is whole or absent, so the head is read again.
    fn close(&self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
        // The next append reports it if it is still so.
        let _ = self.reopen();
    }

    /// Opens sled again if an earlier failure closed it.
    pub(super) fn reopen(&self) -> Result<(), Error> {
        let mut guard = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if guard.is_some() {
            return Ok(());
        }
        let (open, identity, head) = start(&self.dir)?;
        if identity != self.identity || head < self.settled() {
            let reason = format!("it ends at revision {head}, {} was written", self.settled());
            return Err(Error::Damaged { dir: self.dir.clone(), reason });
        }
        *guard = Some(open);
        self.settled.store(head.0, Ordering::Release);
        drop(guard);
        if head > self.head() {
            self.set_head(head);
        }
        Ok(())
    }

    fn storage_error(&self, error: impl ToString) -> Error {
        Error::Storage { dir: self.dir.clone(), reason: error.to_string() }
    }
}

/// Unlocks by itself: a child process between fork and exec shares the file, and with it the lock.
impl Drop for Database {
    fn drop(&mut self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
        // Closing the file does it otherwise.
        let _ = self.lock.unlock();
    }
}

impl Open {
    fn write(&self, batch: Batch) -> Result<(), sled::Error> {
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        Ok(self.file.sync_data()?)
    }
}

fn start(dir: &Path) -> Result<(Open, LogId, Revision), Error> {
    let path = dir.join("sled");
    if !path.exists() {
        check_space(dir, 0)?;
    }
    let config =
        sled::Config::new().path(&path).cache_capacity(CACHE_BYTES).flush_every_ms(Some(TIDY_MILLIS));
    guarded(dir, || {
        let fault = |error| opening_error(dir, error);
        let db = open_sled(&config).map_err(fault)?;
        let file = File::open(path.join("db")).map_err(|error| fault(error.into()))?;
        let identity = identify(dir, &db)?;
        let floor = db
            .get(FLOOR_KEY)
            .map_err(fault)?
            .map_or_else(|| Some(Floor::default()), |bytes| Floor::decode(&bytes));
        let floor = floor.ok_or_else(|| damaged(dir, "the record of its compactions is malformed"))?;
        let last = db.range(pieces_after(Revision::NONE)).next_back().transpose().map_err(fault)?;
        let last = match last {
            Some((key, _)) => {
                revision_and_piece(&key).ok_or_else(|| damaged(dir, "the last revision is malformed"))?.0
            }
            None => Revision::NONE,
        };
        let open = Open { db, file, floor };
        Ok((open, identity, last.max(floor.head)))
    })
}

/// Threads of sled may hold its file for a moment after the last handle is gone, above all after a failed
/// write, and give no sign when they let go; our own lock says that nobody else has it.
fn open_sled(config: &sled::Config) -> sled::Result<sled::Db> {
    for _ in 0..LOCK_TRIES {
        match config.open() {
            Err(error) if held(&error) => thread::sleep(LOCK_PAUSE),
            opened => return opened,
        }
    }
    config.open()
}

fn held(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().starts_with("could not acquire lock"))
}

/// Reads who the log is; a new one gets its identity and is made durable with the names of its files.
fn identify(dir: &Path, db: &sled::Db) -> Result<LogId, Error> {
    let fault = |error| opening_error(dir, error);
    match (db.get(FORMAT_KEY).map_err(fault)?, db.get(IDENTITY_KEY).map_err(fault)?) {
        (Some(format), Some(identity)) if format == FORMAT => {
            let bytes = identity.as_ref().try_into();
            bytes
                .map(|bytes| LogId(u128::from_be_bytes(bytes)))
                .map_err(|_| damaged(dir, "its identity is malformed"))
        }
        (Some(format), _) if format != FORMAT => Err(damaged(
            dir,
            format!("it has format {}, this build reads 1", String::from_utf8_lossy(&format)),
        )),
        (None, None) if db.is_empty() => {
            let identity = random_identity().map_err(|reason| damaged(dir, reason))?;
            let mut batch = Batch::default();
            batch.insert(FORMAT_KEY, FORMAT);
            batch.insert(IDENTITY_KEY, &identity.0.to_be_bytes());
            db.apply_batch(batch).and_then(|()| db.flush()).map_err(fault)?;
            for path in [dir.join("sled").join("db"), dir.join("sled"), dir.to_owned()] {
                File::open(path).and_then(|file| file.sync_all()).map_err(|error| fault(error.into()))?;
            }
            Ok(identity)
        }
        _ => Err(damaged(dir, "its identity is missing")),
    }
}

/// sled asserts where others return errors; its panics end here.
fn guarded<T>(dir: &Path, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(damaged(dir, format!("sled gave up: {text}")))
    })
}

fn opening_error(dir: &Path, error: sled::Error) -> Error {
    match error {
        error if held(&error) => Error::Locked { dir: dir.to_owned() },
        sled::Error::Io(error) if out_of_space(&error) => full(dir, 0),
        sled::Error::Io(error) if error.kind() == ErrorKind::PermissionDenied => {
            Error::Directory { dir: dir.to_owned(), reason: error.to_string() }
        }
        error => damaged(dir, error),
    }
}

fn damaged(dir: &Path, reason: impl ToString) -> Error {
    Error::Damaged { dir: dir.to_owned(), reason: reason.to_string() }
}

fn out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn check_space(dir: &Path, bytes: usize) -> Result<(), Error> {
    // sled rewrites the pages that it touches.
    let needed = RESERVE_BYTES + 2 * bytes as u64;
    // A file system that cannot say how much is free is left to fail by itself.
    match rustix::fs::statvfs(dir) {
        Ok(stat) if stat.f_bavail.saturating_mul(stat.f_frsize) < needed => Err(full(dir, needed)),
        _ => Ok(()),
    }
}

fn full(dir: &Path, needed: u64) -> Error {
    let free = rustix::fs::statvfs(dir).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    Error::Full { dir: dir.to_owned(), free, needed: needed.max(RESERVE_BYTES) }
}
