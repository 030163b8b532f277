//! What one proxy lacks though the scope serves it, and when it is tried again.

use std::time::Duration;

use proto::{ContentHash, XdsKey};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A resource that this proxy refused for a reason of its own.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) version: ContentHash,
    /// What is reported because of it.
    pub(crate) key: XdsKey,
    pub(crate) retry: Option<Retry>,
    /// True if the version is to be sent once more.
    pub(crate) is_due: bool,
}

/// When a reason outside of the configuration may have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    /// On the session's clock.
    pub(crate) at: Duration,
    pause: Duration,
}

impl Retry {
    /// The first, or the one after `last`, which comes after twice the pause.
    pub(crate) fn after(last: Option<Retry>, now: Duration) -> Retry {
        let pause = last.map_or(FIRST_PAUSE, |last| (last.pause * 2).min(LONGEST_PAUSE));
        Retry { at: now + pause, pause }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LONGEST_PAUSE, Retry};

    #[test]
    fn pauses_double_up_to_a_limit() {
        let (mut now, mut retry, mut pauses) = (Duration::ZERO, None, Vec::new());
        for _ in 0..9 {
            let next = Retry::after(retry, now);
            pauses.push((next.at - now).as_millis());
            (now, retry) = (next.at, Some(next));
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        assert_eq!(retry.map(|retry| retry.pause), Some(LONGEST_PAUSE));
    }
}
