//! `cargo xtask testbed`: real Kubernetes control planes for tests.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use crate::command::{command, run};
use crate::{Outcome, programs, root, tools};

/// Runs the test bed's own program with the rest of the command line, with all that it needs in place.
pub(crate) fn run_testbed(rest: &[OsString]) -> Outcome {
    programs::build_testbed()?;
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

/// A bed of the chores' own, of one cluster.
pub(crate) struct Bed {
    name: &'static str,
}

impl Bed {
    /// Starts it anew, with a release channel of these definitions of the Gateway API.
    pub(crate) fn up(name: &'static str, channel: &str, definitions: &Path) -> Outcome<Bed> {
        let bed = Bed { name };
        bed.down()?;
        let mut up = bed.testbed("up");
        up.args(["--channel", channel]).arg("--definitions").arg(definitions);
        run(up.arg("--images").arg(images()?))?;
        Ok(bed)
    }

    /// Ends it, with all that runs in it.
    pub(crate) fn down(&self) -> Outcome {
        run(&mut self.testbed("down"))
    }

    /// A command in its namespaces.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut shell = self.testbed("shell");
        shell.arg("--").args(words);
        shell
    }

    /// Runs a command in it; what it says is shown only if it fails.
    pub(crate) fn quiet(&self, words: &[&str]) -> Outcome {
        self.output(words).map(drop)
    }

    /// What a command in it prints.
    pub(crate) fn output(&self, words: &[&str]) -> Outcome<String> {
        let line = words.iter().take(4).copied().collect::<Vec<_>>().join(" ");
        let output = self
            .command(words)
            .output()
            .map_err(|error| format!("cannot run `{line}` in the bed: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("`{line} ...` in the bed failed: {}: {}", output.status, said.trim()))
    }

    fn testbed(&self, verb: &str) -> Command {
        let mut testbed = command(target().join("debug/testbed"), &[verb, "--name", self.name, "--tools"]);
        testbed.arg(root().join(".tools"));
        testbed
    }
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    // Without an answer of cargo nothing was built either, and what is missing there is told.
    TARGET.get_or_init(|| programs::target_directory().unwrap_or_else(|_| root().join("target"))).clone()
}

/// Which program each image is: `{"image": {"program": PATH, "args": [..], "env": {..}}}`.
fn images() -> Outcome<PathBuf> {
    let age = |profile: &&str| {
        fs::metadata(target().join(profile).join("fleetgate")).and_then(|m| m.modified()).ok()
    };
    let newest = ["release", "debug"].into_iter().max_by_key(age).unwrap_or("debug");
    let built = target().join(newest);
    let images = json!({
        "echo-basic": {"program": root().join(".tools/gateway-api-1.7.0/echo-basic")},
        // With our module, as in its image.
        "fleetgate/envoy": {
            "program": tools::envoy()?,
            "env": {"ENVOY_DYNAMIC_MODULES_SEARCH_PATH": built},
        },
        "envoy": {"program": tools::envoy()?},
        // Suites up to 1.6 wait for it to run, and ask it in tests of UDPRoute alone: those fail with this one.
        "coredns/coredns": {"program": root().join(".tools/gateway-api-1.7.0/echo-basic")},
        "nats": {"program": tools::nats_server()?},
        "nats-server": {"program": tools::nats_server()?},
        "fleetgate": {"program": built.join("fleetgate")},
    });
    let path = target().join("testbed-images.json");
    fs::write(&path, format!("{images:#}\n"))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path)
}
