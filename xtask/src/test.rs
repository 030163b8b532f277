//! `cargo xtask test`: all tests, with what they need.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::command::cargo;
use crate::{Outcome, programs, tools};

/// What libtest's summary lines add up to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

pub(crate) fn run(quick: bool) -> Outcome {
    let envoy = tools::envoy()?;
    // Tests of other crates than fleetgate start its binary, which cargo test alone need not make.
    programs::build()?;
    if quick {
        eprintln!("quick: the test bed's programs are not built; its tests run if they are there");
    } else if let Err(problem) = tools::testbed() {
        eprintln!("the test bed is not tested: {problem}");
    }
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    tests.env("FLEETGATE_ENVOY", &envoy).stdout(Stdio::piped());
    if quick {
        tests.env("FLEETGATE_QUICK", "1");
    }
    eprintln!("+ FLEETGATE_ENVOY={} cargo test --workspace --no-fail-fast", envoy.display());
    let mut child = tests.spawn().map_err(|error| format!("cannot run cargo: {error}"))?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        let mut shown = std::io::stdout().lock();
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            tally.add(&String::from_utf8_lossy(&line));
            // A closed stdout must not end the tests.
            let _ = shown.write_all(&line).and_then(|()| shown.write_all(b"\n"));
        }
    }
    let status = child.wait().map_err(|error| format!("lost sight of cargo: {error}"))?;
    println!("\n{} passed, {} failed", tally.passed, tally.failed);
    match (status.success(), tally.failed) {
        (true, 0) => Ok(()),
        (_, 0) => Err(format!("cargo test ended with {status}: something does not build, or crashed")),
        (_, failed) => Err(format!("{failed} tests failed (see above)")),
    }
}

impl Tally {
    /// Counts a line like `test result: ok. 4 passed; 0 failed; 0 ignored; ...`; ignores all others.
    fn add(&mut self, line: &str) {
        let Some(summary) = line.strip_prefix("test result: ") else { return };
        let counts = summary.split_once(". ").map_or("", |(_, counts)| counts);
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((n, "passed")) => self.passed += n.parse().unwrap_or(0),
                Some((n, "failed")) => self.failed += n.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn summaries_add_up_and_other_lines_do_not() {
        let mut tally = Tally::default();
        for line in [
            "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test a ... ok",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s",
            "7 passed; 7 failed",
        ] {
            tally.add(line);
        }
        assert_eq!(tally, Tally { passed: 14, failed: 2 });
    }
}
