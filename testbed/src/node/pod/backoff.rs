//! How long to wait before a container starts again: pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const MAXIMUM: Duration = Duration::from_secs(60);
/// A run that lasted so long makes up for earlier failures.
const GOOD_RUN: Duration = Duration::from_secs(120);

/// The waits of one container. The first restart comes at once, then 1, 2, 4 … 60 s.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// The wait after a run of this length.
    pub(super) fn after(&mut self, run: Duration) -> Duration {
        if run >= GOOD_RUN {
            self.next = Duration::ZERO;
        }
        let wait = self.next;
        self.next = if wait.is_zero() { FIRST } else { (wait * 2).min(MAXIMUM) };
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_a_minute_and_forgets_after_a_good_run() {
        let mut backoff = Backoff::default();
        let mut waits = |run: u64| backoff.after(Duration::from_secs(run)).as_secs();
        let all: Vec<_> = [0, 1, 0, 0, 0, 0, 0, 0, 0].into_iter().map(&mut waits).collect();
        assert_eq!(all, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!([waits(119), waits(120), waits(0)], [60, 0, 1]);
    }
}
