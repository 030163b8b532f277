//! Finds the module that managed Envoys load.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use lookup::MODULE_NAME;

use crate::args::ModuleChoice;

/// The folder of the module, none for Envoys without it.
///
/// # Errors
/// If the named file is not there, or has another name than Envoy looks for.
pub(crate) fn find(choice: &ModuleChoice) -> anyhow::Result<Option<PathBuf>> {
    let file = format!("lib{MODULE_NAME}.so");
    match choice {
        ModuleChoice::None => Ok(None),
        ModuleChoice::Auto => Ok(std::env::current_exe().ok().and_then(|program| beside(&program, &file))),
        ModuleChoice::Path(path) => {
            let shown = path.display();
            ensure!(
                path.file_name().is_some_and(|name| *name == *file),
                "--proxy-module {shown}: Envoy finds the module by its name: it must be called {file}"
            );
            ensure!(
                path.is_file(),
                "--proxy-module {shown}: no such file: build it with `cargo build -p proxy`, or say \
                 --proxy-module none"
            );
            Ok(std::path::absolute(path)?.parent().map(Path::to_owned))
        }
    }
}

fn beside(program: &Path, file: &str) -> Option<PathBuf> {
    let folder = program.parent()?;
    folder.join(file).is_file().then(|| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{beside, find};
    use crate::args::ModuleChoice;

    #[test]
    fn the_module_lies_beside_the_program_or_where_it_is_said_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("libfleetgate_proxy.so");
        assert_eq!(beside(&folder.path().join("fleetgate"), "libfleetgate_proxy.so"), None);
        std::fs::write(&file, "").unwrap();
        assert_eq!(
            beside(&folder.path().join("fleetgate"), "libfleetgate_proxy.so").as_deref(),
            Some(folder.path())
        );
        assert_eq!(find(&ModuleChoice::Path(file)).unwrap().as_deref(), Some(folder.path()));
        assert_eq!(find(&ModuleChoice::None).unwrap(), None);
    }

    #[test]
    fn what_envoy_would_not_find_is_refused() {
        for (path, word) in [("/nowhere/libfleetgate_proxy.so", "no such file"), ("/bin/sh", "called")] {
            let error = find(&ModuleChoice::Path(path.into())).unwrap_err().to_string();
            assert!(error.contains(path) && error.contains(word), "{error}");
        }
    }
}
