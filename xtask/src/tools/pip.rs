//! Wheels from PyPI.

use std::path::Path;

use crate::Outcome;
use crate::command::{command, run, works};

/// Downloads a wheel, pinned by its version, into a directory.
pub(super) fn download(package: &str, folder: &Path) -> Outcome {
    python_with_pip()?;
    let folder = folder.to_string_lossy();
    let pip = ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", &folder, package];
    // Its progress goes to stderr, so that --print gives nothing but the path.
    run(command("python3", &pip).stdout(std::io::stderr()))
        .map_err(|error| format!("{error}; is PyPI reachable? A proxy or mirror is set with `pip config`"))
}

fn python_with_pip() -> Outcome {
    let has_pip = || works(&mut command("python3", &["-m", "pip", "--version"]));
    if has_pip() {
        return Ok(());
    }
    eprintln!("python3 has no pip yet; trying to add it");
    if works(&mut command("python3", &["-m", "ensurepip"])) && has_pip() {
        return Ok(());
    }
    let apt = works(&mut command("apt-get", &["update", "-qq"]))
        && works(&mut command("apt-get", &["install", "-y", "-qq", "python3", "python3-pip"]));
    if apt && has_pip() {
        return Ok(());
    }
    Err("It is fetched with pip, which is missing; install Python 3 with pip \
         (Debian: `sudo apt-get install python3-pip`) and run this again"
        .to_owned())
}
