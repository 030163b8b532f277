//! Snapshots in a file.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use rkyv::util::AlignedVec;

use crate::{Error, Loaded, Snapshot, SnapshotStore, snapshot};

const NAME: &str = "snapshot";

/// Keeps the snapshot as file `snapshot` in a directory. Needs a tokio runtime.
#[derive(Clone, Debug)]
pub struct FileSnapshots {
    dir: PathBuf,
}

impl FileSnapshots {
    /// Uses a directory, which is made if it does not exist.
    ///
    /// # Errors
    /// [`Error::Directory`] if it cannot be made.
    pub fn open(dir: &Path) -> Result<FileSnapshots, Error> {
        fs::create_dir_all(dir)
            .map_err(|error| Error::Directory { dir: dir.to_owned(), reason: error.to_string() })?;
        Ok(FileSnapshots { dir: dir.to_owned() })
    }

    fn failed(&self, reason: impl ToString) -> Error {
        Error::Directory { dir: self.dir.clone(), reason: reason.to_string() }
    }
}

#[async_trait]
impl SnapshotStore for FileSnapshots {
    async fn save(&self, snapshot: &Snapshot) -> Result<(), Error> {
        let (snapshot, dir) = (snapshot.clone(), self.dir.clone());
        let task = tokio::task::spawn_blocking(move || {
            let bytes = snapshot::encode(&snapshot)?;
            replace(&dir, &bytes).map_err(|error| error.to_string())
        });
        task.await.map_err(|error| self.failed(error))?.map_err(|reason| self.failed(reason))
    }

    async fn load(&self) -> Result<Loaded, Error> {
        let path = self.dir.join(NAME);
        let task = tokio::task::spawn_blocking(move || read(&path));
        task.await.map_err(|error| self.failed(error))
    }
}

/// A crash at any point leaves the old file or the new: the name changes only once the content is on disk.
fn replace(dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".snapshot-").tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(dir.join(NAME)).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

fn read(path: &Path) -> Loaded {
    let load = || {
        let mut bytes = AlignedVec::new();
        bytes.extend_from_reader(&mut File::open(path)?)?;
        Ok::<_, io::Error>(bytes)
    };
    let reason = match load() {
        Ok(bytes) => match snapshot::decode(&bytes) {
            Ok(snapshot) => return Loaded::Found(snapshot),
            Err(reason) => reason,
        },
        Err(error) if error.kind() == ErrorKind::NotFound => return Loaded::None,
        Err(error) => error.to_string(),
    };
    Loaded::Unusable { reason: format!("{}: {reason}; the state is rebuilt from the log", path.display()) }
}
