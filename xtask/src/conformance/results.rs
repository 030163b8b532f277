//! What the suite's output says.

use std::fmt;

/// Results of its tests, by short name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Results {
    pub(super) passed: Vec<String>,
    pub(super) failed: Vec<String>,
    /// What the last failed assertion says.
    pub(super) message: Option<String>,
    skipped: usize,
    begun: usize,
}

impl Results {
    /// Takes in a line of `go test -v`; shows the progress.
    pub(super) fn hear(&mut self, line: &str) {
        let test = |text: &str| {
            let name = text.split_whitespace().next()?.strip_prefix("TestConformance/")?;
            (!name.contains('/')).then(|| name.to_owned())
        };
        let line = line.trim_start();
        if let Some(name) = line.strip_prefix("=== RUN").and_then(test) {
            self.begun += 1;
            eprintln!("{:4}  {name}", self.begun);
        } else if let Some(name) = line.strip_prefix("--- PASS: ").and_then(test) {
            self.passed.push(name);
        } else if let Some(name) = line.strip_prefix("--- FAIL: ").and_then(test) {
            let why = self.message.take().map(|why| format!(": {why}")).unwrap_or_default();
            eprintln!("FAILED  {name}{why}");
            self.failed.push(name);
        } else if line.strip_prefix("--- SKIP: ").and_then(test).is_some() {
            self.skipped += 1;
        } else if let Some(message) = line.strip_prefix("Messages:") {
            self.message = Some(message.trim().to_owned());
        }
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.failed {
            writeln!(f, "FAILED  {name}")?;
        }
        write!(
            f,
            "conformance: {} passed, {} failed, {} of features or profiles that were not asked for",
            self.passed.len(),
            self.failed.len(),
            self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Results;

    #[test]
    fn tests_count_and_their_parts_do_not() {
        let mut results = Results::default();
        for line in [
            "=== RUN   TestConformance/HTTPRouteWeight",
            "=== RUN   TestConformance/HTTPRouteWeight/Requests_should_have_a_distribution",
            "    --- PASS: TestConformance/HTTPRouteWeight (1.00s)",
            "        --- PASS: TestConformance/HTTPRouteWeight/Requests_should_have_a_distribution (0.50s)",
            "    --- FAIL: TestConformance/GatewayModifyListeners (60.00s)",
            "    --- SKIP: TestConformance/UDPRoute (0.00s)",
            "        \tMessages:   \terror waiting for pods",
            "--- FAIL: TestConformance (90.00s)",
        ] {
            results.hear(line);
        }
        let expected = Results {
            passed: vec!["HTTPRouteWeight".to_owned()],
            failed: vec!["GatewayModifyListeners".to_owned()],
            message: Some("error waiting for pods".to_owned()),
            skipped: 1,
            begun: 1,
        };
        assert_eq!(results, expected);
        assert!(results.to_string().contains("1 passed, 1 failed, 1 of features"));
    }
}
