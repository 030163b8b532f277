//! The directory that holds all that survives a restart.
//!
//! ```text
//! lock             held while a fleetgate runs here
//! log/             event log
//! snapshot         newest snapshot, disposable
//! secret           makes the proxies' tokens, mode 0600
//! admin.address    where the running fleetgate's admin endpoint listens
//! envoy/           bootstrap, log, pid and admin address of each managed Envoy
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

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
    fn a_state_directory_below_a_file_is_refused_with_a_remedy() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = StateDir::lock(&file.path().join("state")).unwrap_err().to_string();
        assert!(error.contains("--state-dir"), "{error}");
    }
}
