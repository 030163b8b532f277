//! Finds the Envoy program to run.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};

use crate::args::EnvoyChoice;

const REMEDY: &str =
    "fetch one with `cargo xtask tools --print envoy`, name one with --envoy PATH, or say --envoy none";

/// The program to run, none if people start their own Envoys.
///
/// `auto` looks for `.tools/envoy-*/envoy` (the newest name) in the working directory, beside the
/// executable and above both, then for `envoy` on PATH.
///
/// # Errors
/// If there is none, or the named one cannot be run.
pub(crate) fn find(choice: &EnvoyChoice) -> anyhow::Result<Option<PathBuf>> {
    match choice {
        EnvoyChoice::None => Ok(None),
        EnvoyChoice::Path(path) => {
            ensure!(is_program(path), "--envoy {}: no such program: {REMEDY}", path.display());
            Ok(Some(std::path::absolute(path)?))
        }
        EnvoyChoice::Auto => {
            let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
            let found = starts.iter().flatten().flat_map(|start| start.ancestors()).find_map(fetched);
            match found.or_else(on_path) {
                // It runs in another directory.
                Some(path) => Ok(Some(std::path::absolute(path)?)),
                None => bail!("no Envoy found in .tools or on PATH: {REMEDY}"),
            }
        }
    }
}

fn fetched(root: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(root.join(".tools")).ok()?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("envoy-"))
        .map(|entry| entry.path().join("envoy"))
        .filter(|path| is_program(path))
        .collect();
    found.sort();
    found.pop()
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("envoy")).find(|program| is_program(program))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{fetched, find};
    use crate::args::EnvoyChoice;

    #[test]
    fn the_newest_fetched_program_is_taken() {
        let root = tempfile::tempdir().unwrap();
        for version in ["1.39.0", "1.40.0"] {
            let dir = root.path().join(".tools").join(format!("envoy-{version}"));
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("envoy"), "").unwrap();
            std::fs::set_permissions(dir.join("envoy"), PermissionsExt::from_mode(0o755)).unwrap();
        }
        assert!(fetched(root.path()).unwrap().ends_with("envoy-1.40.0/envoy"));
        assert_eq!(fetched(&root.path().join("none")), None);
    }

    #[test]
    fn a_missing_program_is_refused_with_a_remedy() {
        let error = find(&EnvoyChoice::Path("/nowhere/envoy".into())).unwrap_err().to_string();
        assert!(error.contains("/nowhere/envoy") && error.contains("--envoy none"), "{error}");
    }
}
