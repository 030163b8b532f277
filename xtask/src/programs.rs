//! The workspace's own programs that the demo and the tests run.

use std::path::PathBuf;

use crate::Outcome;
use crate::command::{cargo, run};

/// Paths of what was built.
pub(crate) struct Programs {
    pub(crate) fleetgate: PathBuf,
    pub(crate) echo: PathBuf,
}

/// Builds them; cargo's own progress shows.
pub(crate) fn build() -> Outcome<Programs> {
    eprintln!(
        "building fleetgate, its proxy module, the test bed and the echo backend; the first time takes minutes"
    );
    run(&mut cargo(&[
        "build",
        "-p",
        "fleetgate",
        "-p",
        "loadtest",
        "-p",
        "proxy",
        "-p",
        "testbed",
        "--bin",
        "testbed",
        "--bin",
        "fleetgate",
        "--bin",
        "echo",
        "--lib",
    ]))?;
    let debug = target_directory()?.join("debug");
    Ok(Programs { fleetgate: debug.join("fleetgate"), echo: debug.join("echo") })
}

/// Where cargo puts what it builds: `target/`, unless the environment or a configuration says otherwise.
fn target_directory() -> Outcome<PathBuf> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        format!("cargo metadata gave no JSON: {error}: {}", String::from_utf8_lossy(&output.stderr))
    })?;
    let directory = metadata["target_directory"].as_str();
    directory.map(PathBuf::from).ok_or_else(|| "cargo metadata names no target_directory".to_owned())
}
