//! Counts tests: those that passed, failed, and were skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::Outcome;

/// What the summaries of the test programs and the notes of skipped tests add up to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// By the test programs, for which a skipped test has passed.
    ended_well: u64,
    pub(super) failed: u64,
    /// Tests with `#[ignore]`: parts of others, and those that are run by command.
    ignored: u64,
    /// Tests by the reason why they were skipped.
    skipped: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a line like `test result: ok. 4 passed; 0 failed; 0 ignored; ...`; passes over all others.
    pub(super) fn add(&mut self, line: &str) {
        let Some(summary) = line.strip_prefix("test result: ") else { return };
        let counts = summary.split_once(". ").map_or("", |(_, counts)| counts);
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((n, "passed")) => self.ended_well += n.parse().unwrap_or(0),
                Some((n, "failed")) => self.failed += n.parse().unwrap_or(0),
                Some((n, "ignored")) => self.ignored += n.parse().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// Counts what `FLEETGATE_SKIPS` names: lines of test program, test and reason, by the crate `needs`.
    pub(super) fn skip(&mut self, noted: &str) {
        let mut seen = BTreeSet::new();
        for line in noted.lines() {
            let (test, reason) = line.rsplit_once('\t').unwrap_or(("", line));
            // A test may lack several things. Where there is one thread for all, tests have no names.
            if test.ends_with("\tmain") || seen.insert(test) {
                *self.skipped.entry(reason.to_owned()).or_default() += 1;
            }
        }
    }

    /// A line for each reason, with how many tests it kept from running.
    pub(super) fn reasons(&self) -> String {
        let line = |(reason, count): (&String, &u64)| format!("skipped, {count}: {reason}\n");
        let mut lines: String = self.skipped.iter().map(line).collect();
        if self.ignored > 0 {
            lines += &format!("not counted, {}: parts of other tests, or run by command\n", self.ignored);
        }
        lines
    }

    /// An error if a test failed, or if one was skipped where that is a failure.
    pub(super) fn verdict(&self, skips_fail: bool) -> Outcome {
        match (self.failed, self.skips()) {
            (0, skipped) if skipped > 0 && skips_fail => {
                Err(format!("{skipped} tests were skipped (see above), and CI=true: none may be"))
            }
            (0, _) => Ok(()),
            (failed, _) => Err(format!("{failed} tests failed (see above)")),
        }
    }

    fn skips(&self) -> u64 {
        self.skipped.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (skipped, failed) = (self.skips(), self.failed);
        write!(f, "{} passed, {failed} failed, {skipped} skipped", self.ended_well.saturating_sub(skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn tally(lines: &[&str], noted: &str) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.add(line));
        tally.skip(noted);
        tally
    }

    const GOOD: &str =
        "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";

    #[test]
    fn summaries_add_up_and_other_lines_do_not() {
        let bad = "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s";
        let tally =
            tally(&[GOOD, "test a ... ok", bad, "7 passed; 7 failed", "  | test result: ok. 1 passed;"], "");
        assert_eq!(tally.to_string(), "14 passed, 2 failed, 0 skipped");
        assert_eq!(tally.reasons(), "not counted, 1: parts of other tests, or run by command\n");
        assert!(tally.verdict(false).unwrap_err().starts_with("2 tests failed"));
    }

    #[test]
    fn a_skipped_test_has_not_passed() {
        let noted = "e2e-1\ta::b\tno Envoy\ne2e-1\ta::b\tno root\ne2e-2\ta::b\tno Envoy\nx\tc\tno root\n";
        let tally = tally(&[GOOD], noted);
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 3 skipped");
        assert!(tally.reasons().starts_with("skipped, 2: no Envoy\nskipped, 1: no root\n"), "{tally:?}");
        assert_eq!(tally.verdict(false), Ok(()));
        assert!(tally.verdict(true).unwrap_err().starts_with("3 tests were skipped"));
    }

    #[test]
    fn tests_without_a_thread_of_their_own_count_each() {
        let tally = tally(&[GOOD], "a\tmain\tno Envoy\na\tmain\tno Envoy\n");
        assert_eq!(tally.to_string(), "2 passed, 0 failed, 2 skipped");
    }
}
