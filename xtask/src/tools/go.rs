//! Programs that Go builds into `.tools/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{command, run, works};
use crate::{Outcome, root};

/// The suite needs it; an older Go fetches it by itself.
const TOOLCHAIN: &str = "go1.27.4";

/// Folder of a module in `conformance/`.
pub(super) fn pins(module: &str) -> PathBuf {
    root().join("conformance").join(module)
}

/// Path of a program, built first if it is not there.
pub(super) fn built(module: &str, name: &str, folder: &str, how: &[&str], package: &str) -> Outcome<PathBuf> {
    let path = root().join(".tools").join(folder).join(name);
    if !path.exists() {
        build(&pins(module), &path, how, package, "")?;
    }
    Ok(path)
}

/// Builds a program in the folder of a module; renamed into place when it is whole.
pub(super) fn build(module: &Path, path: &Path, how: &[&str], package: &str, flags: &str) -> Outcome {
    eprintln!("building {} (Go; minutes if it is the first)", path.display());
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let draft = path.with_extension("new");
    run(go(module)?
        .args(how)
        .args(["-mod=mod", "-trimpath", "-ldflags", format!("-s -w {flags}").trim(), "-o"])
        .arg(&draft)
        .arg(package))?;
    fs::rename(&draft, path).map_err(|error| format!("cannot make {}: {error}", path.display()))
}

/// The Go that all is built with, in a folder.
pub(super) fn go(folder: &Path) -> Outcome<Command> {
    if !works(command("go", &["version"]).env("GOTOOLCHAIN", TOOLCHAIN)) {
        return Err(format!(
            "the test bed is built with {TOOLCHAIN}, which any Go from 1.21 on fetches by itself; `go version` failed: \
             install Go (https://go.dev/doc/install) and run this again"
        ));
    }
    let mut go = command("go", &[]);
    go.current_dir(folder).env("GOTOOLCHAIN", TOOLCHAIN).env("CGO_ENABLED", "0");
    Ok(go)
}
