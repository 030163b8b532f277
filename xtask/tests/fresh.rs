//! What a machine that has never built this needs: builds that ask for nothing they were not given, and tests that
//! say what they lack.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not know as such

use std::fs;
use std::path::{Path, PathBuf};

/// Why a test may be left out of each run: `cargo xtask test` counts none of these.
const IGNORED: [&str; 2] = ["a part of another test", "by command"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All Rust sources of the workspace, with their paths from its root.
fn sources() -> Vec<(PathBuf, String)> {
    let root = root();
    let (mut sources, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                sources
                    .push((path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(path).unwrap()));
            }
        }
    }
    sources
}

/// A build script that runs cargo needs more packages than the build does, and fails where they are not there yet.
#[test]
fn build_scripts_run_no_programs() {
    let scripts: Vec<_> = sources().into_iter().filter(|(path, _)| path.ends_with("build.rs")).collect();
    assert!(!scripts.is_empty());
    for (path, script) in scripts {
        for word in ["Command", "\"CARGO\"", "process::"] {
            assert!(!script.contains(word), "{} has {word}: a build script runs no programs", path.display());
        }
    }
}

#[test]
fn tests_are_ignored_for_known_reasons() {
    for (path, source) in sources() {
        for line in source.lines().map(str::trim).filter(|line| line.starts_with("#[ignore")) {
            let is_known = IGNORED.iter().any(|reason| line.starts_with(&format!("#[ignore = \"{reason}")));
            assert!(is_known, "{}: {line}: begin the reason with one of {IGNORED:?}", path.display());
        }
    }
}

/// A test that looks by itself whether there is an Envoy could pass without one.
#[test]
fn tests_ask_for_what_they_need_by_the_crate_needs() {
    for (path, source) in sources() {
        let is_test = path.iter().any(|part| part == "tests") || path.to_string_lossy().ends_with("test.rs");
        for word in ["\"FLEETGATE_ENVOY\"", "\"SKIPPED", "\"skipped:"] {
            let here = path.ends_with("xtask/tests/fresh.rs");
            assert!(here || !is_test || !source.contains(word), "{} has {word}", path.display());
        }
    }
}
