//! What one proxy lacks though the scope serves it, and when it is tried again.

use std::{collections::BTreeMap, time::Duration};

use proto::{ArcStr, ContentHash, XdsKey};
use rustc_hash::FxHashMap;

/// A version may be refused so often without a pause: with others, alone, on trial, and as often while other proxies'
/// suspects are told apart. More of it tells nothing new.
const ENOUGH: u32 = 8;
/// A refusal counts for so long.
const MEMORY: Duration = Duration::from_secs(60);
/// Versions that are remembered before those are dropped that do not count any more.
const REMEMBERED: usize = 4096;
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

    fn number(count: u32, now: Duration) -> Retry {
        let pause = 2u32.checked_pow(count).and_then(|times| FIRST_PAUSE.checked_mul(times));
        let pause = pause.map_or(LONGEST_PAUSE, |pause| pause.min(LONGEST_PAUSE));
        Retry { at: now + pause, pause }
    }
}

/// How often versions were refused lately.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    counts: FxHashMap<(ArcStr, ContentHash), (u32, Duration)>,
    /// Versions that do not go out before some time, also if they go away and come back meanwhile.
    paused: BTreeMap<(ArcStr, ContentHash), Duration>,
}

impl Refusals {
    /// A version was refused: when it may go out again, if that is not at once. However a proxy words its refusals, and
    /// whatever follows from that, no version goes to it again and again without a pause.
    pub(crate) fn add(&mut self, name: &ArcStr, version: ContentHash, now: Duration) -> Option<Retry> {
        if self.counts.len() >= REMEMBERED {
            self.counts.retain(|_, (_, last)| now <= *last + MEMORY);
        }
        let key = (name.clone(), version);
        let (count, last) = self.counts.entry(key.clone()).or_insert((0, now));
        *count = if now > *last + MEMORY { 1 } else { count.saturating_add(1) };
        *last = now;
        let retry = count.checked_sub(ENOUGH).map(|more| Retry::number(more, now))?;
        self.paused.insert(key, retry.at);
        Some(retry)
    }

    /// True if a version is not to go out yet.
    pub(crate) fn pause(&self, name: &str, version: ContentHash) -> bool {
        !self.paused.is_empty() && self.paused.contains_key(&(name.into(), version))
    }

    /// When the next pause ends.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.paused.values().min().copied()
    }

    /// Ends the pauses that are over, and gives their names.
    pub(crate) fn take_due(&mut self, now: Duration) -> Vec<ArcStr> {
        self.paused.extract_if(.., |_, at| *at <= now).map(|((name, _), _)| name).collect()
    }

    /// A version was accepted.
    pub(crate) fn forget(&mut self, name: &ArcStr, version: ContentHash) {
        if !self.counts.is_empty() {
            let key = (name.clone(), version);
            self.counts.remove(&key);
            self.paused.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::ContentHash;

    use super::{ENOUGH, LONGEST_PAUSE, MEMORY, Refusals, Retry};

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

    #[test]
    fn a_version_that_is_refused_again_and_again_waits_longer_each_time() {
        let (name, version, other) = ("t".into(), ContentHash(1), ContentHash(2));
        let (mut refusals, mut now, mut pauses) = (Refusals::default(), Duration::ZERO, Vec::new());
        for _ in 1..ENOUGH {
            assert_eq!(refusals.add(&name, version, now), None);
            // What goes in between changes nothing of it.
            refusals.add(&name, other, now);
            refusals.forget(&name, other);
        }
        for _ in 0..9 {
            let retry = refusals.add(&name, version, now).unwrap();
            pauses.push((retry.at - now).as_millis());
            now = retry.at;
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        now += MEMORY + Duration::from_millis(1);
        assert_eq!(refusals.add(&name, version, now), None);
    }
}
