//! `cargo xtask testbed`: real Kubernetes control planes for tests.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::command::{cargo, command, run};
use crate::{Outcome, root, tools};

/// Runs the test bed's own program with the rest of the command line, with all that it needs in place.
pub(crate) fn run_testbed(rest: &[OsString]) -> Outcome {
    run(&mut cargo(&["build", "--quiet", "-p", "testbed"]))?;
    let starts = rest.first().is_some_and(|first| first == "up");
    let mut flags: Vec<OsString> = vec!["--tools".into(), root().join(".tools").into()];
    if starts {
        tools::testbed()?;
        flags.extend(["--images".into(), images()?.into()]);
    }
    // Its own flags come before a `--` of the user's.
    let (verb, rest) = rest.split_at(rest.len().min(1));
    let mut testbed = command(target().join("debug/testbed"), &[]);
    testbed.args(verb).args(flags).args(rest).stdin(std::process::Stdio::inherit());
    let status = testbed.status().map_err(|error| format!("cannot run the test bed: {error}"))?;
    match status.code() {
        Some(0) => Ok(()),
        // What ran in the shell has said what it had to say.
        Some(code) => std::process::exit(code),
        None => Err(format!("the test bed ended with {status}")),
    }
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Which program each image is: `{"image": {"program": PATH, "args": [..], "env": {..}}}`.
fn images() -> Outcome<PathBuf> {
    let profile =
        ["release", "debug"].into_iter().find(|profile| target().join(profile).join("fleetgate").exists());
    let built = target().join(profile.unwrap_or("debug"));
    let images = json!({
        "echo-basic": {"program": root().join(".tools/gateway-api-1.7.0/echo-basic")},
        "envoy": {
            "program": tools::envoy()?,
            "env": {"ENVOY_DYNAMIC_MODULES_SEARCH_PATH": built},
        },
        "fleetgate": {"program": built.join("fleetgate")},
    });
    let path = target().join("testbed-images.json");
    fs::write(&path, format!("{images:#}\n"))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path)
}
