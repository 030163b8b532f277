//! One run of the suite's program.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use super::Options;
use super::results::Results;
use crate::Outcome;
use crate::testbed::Bed;

/// An address that the bed's load balancer has, and one that it has not.
const ADDRESSES: (&str, &str) = ("192.0.2.200", "203.0.113.1");

pub(super) struct Suite<'a> {
    pub(super) program: &'a Path,
    pub(super) options: &'a Options,
    pub(super) bed: &'a Bed,
    /// Comma-separated.
    pub(super) features: String,
}

impl Suite<'_> {
    /// Runs it to its end, all that it says in `log`; the progress shows.
    pub(super) fn run(&self, log: &Path, report: &Path, test: Option<&str>, clear: bool) -> Outcome<Results> {
        let arguments = self.arguments(report, test, clear);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut suite = self.bed.command(&arguments);
        suite.stdout(Stdio::piped());
        let mut child = suite.spawn().map_err(|error| format!("cannot run the suite: {error}"))?;
        let problem = |error| format!("cannot write {}: {error}", log.display());
        let mut file = File::create(log).map_err(problem)?;
        let mut results = Results::default();
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                file.write_all(&line).and_then(|()| file.write_all(b"\n")).map_err(problem)?;
                results.hear(&String::from_utf8_lossy(&line));
            }
        }
        let status = child.wait().map_err(|error| format!("lost sight of the suite: {error}"))?;
        if !status.success() && results.failed.is_empty() {
            let why = results.message.as_deref().unwrap_or("it does not say why");
            return Err(format!(
                "the suite ended with {status} before its tests: {why}; see {}",
                log.display()
            ));
        }
        Ok(results)
    }

    fn arguments(&self, report: &Path, test: Option<&str>, clear: bool) -> Vec<String> {
        let options = self.options;
        let mut arguments = vec![
            self.program.to_string_lossy().into_owned(),
            "-test.v".to_owned(),
            "-test.timeout=90m".to_owned(),
            // A test has up to six Gateways, each with an Envoy.
            "-test.parallel=4".to_owned(),
            "-test.run=^TestConformance$".to_owned(),
            "--gateway-class=fleetgate".to_owned(),
            format!("--supported-features={}", self.features),
            format!("--report-output={}", report.display()),
            "--organization=fleetgate".to_owned(),
            "--project=fleetgate".to_owned(),
            "--url=https://fleetgate.dev".to_owned(),
            format!("--version=v{}", env!("CARGO_PKG_VERSION")),
            "--contact=@fleetgate".to_owned(),
            format!("--usable-address={}", ADDRESSES.0),
            format!("--unusable-address={}", ADDRESSES.1),
            format!("--cleanup-test-resources={clear}"),
            // The bed ends with them.
            "--cleanup-base-resources=false".to_owned(),
        ];
        arguments.push(match test {
            Some(test) => format!("--run-test={test}"),
            None => format!("--conformance-profiles={}", options.profiles),
        });
        arguments
    }
}
