//! The workspace's own programs that the demo and the tests run.

use std::path::PathBuf;

use crate::Outcome;
use crate::command::{cargo, run};

/// Paths of what was built.
pub(crate) struct Programs {
    pub(crate) fleetgate: PathBuf,
    pub(crate) echo: PathBuf,
}

/// Builds what the demo runs and nothing else; cargo's own progress shows.
pub(crate) fn build() -> Outcome<Programs> {
    eprintln!("building fleetgate, its proxy module and the echo backend; the first time takes minutes");
    let packages = ["build", "-p", "fleetgate", "-p", "proxy", "-p", "loadtest"];
    run(&mut cargo(&[&packages[..], &["--bin", "fleetgate", "--bin", "echo", "--lib"]].concat()))?;
    let debug = target_directory()?.join("debug");
    Ok(Programs { fleetgate: debug.join("fleetgate"), echo: debug.join("echo") })
}

/// Builds the test bed's program.
pub(crate) fn build_testbed() -> Outcome {
    run(&mut cargo(&["build", "--quiet", "-p", "testbed"]))
}

/// Builds all tests, and what they run: that of a package which has tests of its own comes with these.
pub(crate) fn build_tests() -> Outcome {
    run(&mut cargo(&["build", "-p", "proxy"]))?;
    run(&mut cargo(&["test", "--workspace", "--no-run"]))
}

/// Where cargo puts what it builds: `target/`, unless the environment or a configuration says otherwise.
pub(crate) fn target_directory() -> Outcome<PathBuf> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        format!("cargo metadata gave no JSON: {error}: {}", String::from_utf8_lossy(&output.stderr))
    })?;
    let directory = metadata["target_directory"].as_str();
    directory.map(PathBuf::from).ok_or_else(|| "cargo metadata names no target_directory".to_owned())
}
