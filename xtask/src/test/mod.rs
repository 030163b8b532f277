//! `cargo xtask test`: all tests, with what they need.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use self::tally::Tally;
use crate::command::cargo;
use crate::{Outcome, programs, tools};

mod tally;

/// What the command line asks for.
pub(crate) struct Options {
    /// Tests that take long may leave themselves out, and no program of the test bed is built.
    pub(crate) quick: bool,
    /// Builds and fetches all, and runs nothing.
    pub(crate) build_only: bool,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let envoy = tools::envoy()?;
    if options.quick {
        eprintln!("quick: the test bed's programs are not built; its tests run if they are there");
    } else if let Err(problem) = tools::testbed() {
        if skips_fail() || options.build_only {
            return Err(problem);
        }
        eprintln!("what needs the test bed is skipped: {problem}");
    }
    programs::build_tests()?;
    if options.build_only {
        return Ok(());
    }
    let skips = tempfile::NamedTempFile::new().map_err(|error| format!("cannot make a file: {error}"))?;
    let mut tally = Tally::default();
    let status = run_tests(options.quick, &envoy, skips.path(), &mut tally)?;
    let noted = std::fs::read_to_string(skips.path()).map_err(|error| format!("lost the skips: {error}"))?;
    tally.skip(&noted);
    print!("\n{}", tally.reasons());
    println!("{tally}");
    if !status.success() && tally.failed == 0 {
        return Err(format!("cargo test ended with {status}: something does not build, or crashed"));
    }
    tally.verdict(skips_fail())
}

/// Runs all tests with their output shown, and counts them.
fn run_tests(quick: bool, envoy: &Path, skips: &Path, tally: &mut Tally) -> Outcome<ExitStatus> {
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    tests.env("FLEETGATE_ENVOY", envoy).env("FLEETGATE_SKIPS", skips).stdout(Stdio::piped());
    if quick {
        tests.env("FLEETGATE_QUICK", "1");
    }
    eprintln!("+ FLEETGATE_ENVOY={} cargo test --workspace --no-fail-fast", envoy.display());
    let mut child = tests.spawn().map_err(|error| format!("cannot run cargo: {error}"))?;
    if let Some(output) = child.stdout.take() {
        let mut shown = std::io::stdout().lock();
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            tally.add(&String::from_utf8_lossy(&line));
            // A closed stdout must not end the tests.
            let _ = shown.write_all(&line).and_then(|()| shown.write_all(b"\n"));
        }
    }
    child.wait().map_err(|error| format!("lost sight of cargo: {error}"))
}

/// In CI everything is there, so a test that lacks something is a failure.
fn skips_fail() -> bool {
    std::env::var_os("CI").is_some_and(|ci| ci == "true")
}
