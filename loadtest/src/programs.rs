//! The programs under test, and what a run may use.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio::runtime::Runtime;

use crate::args::Tables;
use crate::envoy;

/// The dynamic module's file, built beside fleetgate.
const MODULE: &str = "libfleetgate_proxy.so";

/// Programs of a run.
pub(crate) struct Programs {
    pub(crate) runtime: Runtime,
    pub(crate) fleetgate: PathBuf,
    pub(crate) envoy: PathBuf,
    /// Keep the files of each run.
    pub(crate) keep: bool,
}

impl Programs {
    /// Finds them.
    ///
    /// # Errors
    /// If one is missing.
    pub(crate) fn find(runtime: Runtime, keep: bool) -> anyhow::Result<Programs> {
        Ok(Programs { runtime, fleetgate: fleetgate()?, envoy: envoy::find()?, keep })
    }

    /// A directory for one run, removed when the returned owner is dropped, unless it shall be kept.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn directory(&self) -> anyhow::Result<(PathBuf, Option<tempfile::TempDir>)> {
        let temporary = tempfile::Builder::new().prefix("fleetgate-load-").tempdir();
        let temporary = temporary.context("cannot make a temporary directory")?;
        let path = temporary.path().to_owned();
        if self.keep {
            eprintln!("kept: {}", temporary.keep().display());
            return Ok((path, None));
        }
        Ok((path, Some(temporary)))
    }

    /// Scoped if the module has been built.
    pub(crate) fn default_tables(&self) -> Tables {
        if module(&self.fleetgate).is_ok() { Tables::Scoped } else { Tables::Rds }
    }

    /// The folder where Envoy finds the module, if these tables need it.
    ///
    /// # Errors
    /// If they do and it has not been built.
    pub(crate) fn module_folder(&self, tables: Tables) -> anyhow::Result<Option<PathBuf>> {
        match tables {
            Tables::Rds => Ok(None),
            Tables::Scoped => Ok(module(&self.fleetgate)?.parent().map(Path::to_owned)),
        }
    }
}

fn module(fleetgate: &Path) -> anyhow::Result<PathBuf> {
    let module = fleetgate.with_file_name(MODULE);
    if !module.is_file() {
        bail!("{} does not exist: build it with `cargo build {}-p proxy`", module.display(), profile_flag());
    }
    Ok(module)
}

/// The fleetgate binary beside this one.
fn fleetgate() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find out where this program lies")?;
    let binary = own.with_file_name("fleetgate");
    if !binary.is_file() {
        bail!("{} does not exist: run `cargo build {}-p fleetgate` first", binary.display(), profile_flag());
    }
    Ok(binary)
}

fn profile_flag() -> &'static str {
    if cfg!(debug_assertions) { "" } else { "--release " }
}

#[cfg(test)]
mod tests {
    use super::module;

    #[test]
    fn a_missing_module_is_named_with_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let fleetgate = dir.path().join("fleetgate");
        let error = module(&fleetgate).unwrap_err().to_string();
        assert!(error.contains("libfleetgate_proxy.so") && error.contains("-p proxy"), "{error}");
        std::fs::write(dir.path().join("libfleetgate_proxy.so"), "").unwrap();
        assert!(module(&fleetgate).is_ok());
    }
}
