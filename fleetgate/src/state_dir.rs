//! The directory that holds all that survives a restart.
//!
//! ```text
//! lock             held while a fleetgate runs here
//! log/             event log
//! snapshot         newest snapshot, disposable
//! secret           makes the proxies' tokens, mode 0600
//! admin.address    where the running fleetgate's admin endpoint listens
//! xds.sock         where managed Envoys ask for their configuration
//! envoy/           bootstrap, log, pid and admin socket of each managed Envoy
//! ```

mod check;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

pub(crate) use check::watch;

/// A state directory of which this process is the only user.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Creates the directory if need be and locks it.
    ///
    /// # Errors
    /// If it cannot be written, or another fleetgate runs on it.
    pub(crate) fn lock(path: &Path) -> anyhow::Result<StateDir> {
        create(path)?;
        if is_ours(path) {
            tighten(path);
        }
        create(&path.join("envoy"))?;
        let file = path.join("lock");
        let mut lock =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&file).with_context(
                || format!("cannot write {}: make it writable or name another --state-dir", file.display()),
            )?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another fleetgate (process {}) already uses the state directory {}: stop it or name another \
                 --state-dir",
                fs::read_to_string(&file).unwrap_or_default().trim(),
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", file.display()));
            }
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(StateDir { path: path.to_owned(), _lock: lock })
    }

    /// A file or directory in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// True if a directory that was there is a state directory: nothing else is to be closed to others.
fn is_ours(path: &Path) -> bool {
    let is_empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    path.join("lock").is_file() || is_empty()
}

/// What is in a state directory besides its `lock`.
const PARTS: [&str; 6] = ["log", "snapshot", "secret", "admin.address", "xds.sock", "envoy"];

/// Closes to others what earlier versions left open, and what the machine's settings opened.
fn tighten(path: &Path) {
    let parts = PARTS.iter().chain(&["lock"]).map(|part| path.join(part));
    let mut left: Vec<PathBuf> = parts.collect();
    close(path);
    while let Some(path) = left.pop() {
        close(&path);
        // Not through links: they may lead anywhere.
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
}

/// Takes all rights from everybody but the owner. One that is another's stays as it is: in a container the directory
/// itself may be the kubelet's.
fn close(path: &Path) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    let mode = metadata.permissions().mode();
    if metadata.is_symlink() || mode & 0o077 == 0 || metadata.uid() != rustix::process::geteuid().as_raw() {
        return;
    }
    let closed = fs::Permissions::from_mode(mode & 0o7700);
    if let Err(error) = fs::set_permissions(path, closed) {
        tracing::warn!("others can read {}: {error}; close it to them (chmod go=)", path.display());
    }
}

/// Creates a directory that only its owner can read.
///
/// # Errors
/// If it cannot be created.
pub(crate) fn create(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
        format!(
            "cannot create the state directory {}: make its parent writable or name another --state-dir",
            path.display()
        )
    })
}

/// `--state-dir`, or `$XDG_STATE_HOME/fleetgate/<name>-<hash>` (`~/.local/state` if unset), with the
/// last part of the config directory's absolute path and a hash of all of it.
///
/// # Errors
/// If there is no home directory to put it in.
pub(crate) fn resolve(given: Option<&Path>, config: &Path) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return std::path::absolute(path).with_context(|| format!("cannot use {}", path.display()));
    }
    let base = match (std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME")) {
        (Some(state), _) if !state.is_empty() => PathBuf::from(state),
        (_, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".local/state"),
        _ => bail!("neither XDG_STATE_HOME nor HOME is set: name the state directory with --state-dir"),
    };
    let config = fs::canonicalize(config).or_else(|_| std::path::absolute(config)).with_context(|| {
        format!("cannot find the config directory {}: create it or correct --config", config.display())
    })?;
    Ok(base.join("fleetgate").join(directory_name(&config)))
}

fn directory_name(config: &Path) -> String {
    let hash = blake3::hash(config.as_os_str().as_bytes()).to_hex();
    let name = config.file_name().map_or_else(|| "root".into(), |name| name.to_string_lossy());
    format!("{name}-{}", &hash[..12])
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{StateDir, directory_name};

    #[test]
    fn two_directories_of_one_name_have_states_of_their_own() {
        assert_ne!(directory_name(Path::new("/a/config")), directory_name(Path::new("/b/config")));
        assert!(directory_name(Path::new("/a/config")).starts_with("config-"));
    }

    #[test]
    fn a_second_user_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::lock(dir.path()).unwrap();
        let error = StateDir::lock(dir.path()).unwrap_err().to_string();
        assert!(error.contains("another fleetgate") && error.contains("--state-dir"), "{error}");
        drop(first);
        assert!(StateDir::lock(dir.path()).is_ok());
    }

    #[test]
    fn what_was_open_is_closed_and_nothing_else_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let open =
            |name: &str, mode| std::fs::set_permissions(path(name), Permissions::from_mode(mode)).unwrap();
        let mode = |name: &str| std::fs::metadata(path(name)).unwrap().permissions().mode() & 0o7777;
        std::fs::create_dir_all(path("envoy")).unwrap();
        for file in ["lock", "secret", "envoy/a_b.json", "theirs"] {
            std::fs::write(path(file), "").unwrap();
            open(file, 0o644);
        }
        std::os::unix::fs::symlink(path("theirs"), path("envoy/link")).unwrap();
        open("envoy", 0o755);
        open(".", 0o755);
        drop(StateDir::lock(dir.path()).unwrap());
        let closed = ["lock", "secret", "envoy/a_b.json"].map(mode);
        assert_eq!((closed, mode("envoy"), mode("."), mode("theirs")), ([0o600; 3], 0o700, 0o700, 0o644));
    }

    #[test]
    fn a_directory_with_other_things_in_it_stays_as_open_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("theirs"), "").unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        drop(StateDir::lock(dir.path()).unwrap());
        assert_eq!(std::fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_state_directory_below_a_file_is_refused_with_a_remedy() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = StateDir::lock(&file.path().join("state")).unwrap_err().to_string();
        assert!(error.contains("--state-dir"), "{error}");
    }
}
