//! Which Gateways are looked at next, and when those that failed are tried again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use proto::ResourceKey;
use tokio::time::Instant;

/// First pause after a failure; it doubles up to [`LAST`].
const FIRST: Duration = Duration::from_millis(250);
const LAST: Duration = Duration::from_secs(30);

/// Keys with the times at which they are due. A key that is under way is not given out again.
#[derive(Default)]
pub(super) struct Due {
    times: BTreeSet<(Instant, ResourceKey)>,
    of: HashMap<ResourceKey, Instant>,
    under_way: HashSet<ResourceKey>,
    failures: HashMap<ResourceKey, u32>,
}

impl Due {
    /// It is due at a time, or before if it is already.
    pub(super) fn at(&mut self, key: ResourceKey, time: Instant) {
        if let Some(before) = self.of.get(&key).copied() {
            if before <= time {
                return;
            }
            self.times.remove(&(before, key.clone()));
        }
        self.of.insert(key.clone(), time);
        self.times.insert((time, key));
    }

    /// It is due now.
    pub(super) fn now(&mut self, key: ResourceKey) {
        self.at(key, Instant::now());
    }

    /// When there is something to do next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.times.iter().find(|(_, key)| !self.under_way.contains(key)).map(|(time, _)| *time)
    }

    /// One that is due; it is under way until [`Due::done`].
    pub(super) fn take(&mut self) -> Option<ResourceKey> {
        let now = Instant::now();
        let due = self.times.iter().take_while(|(time, _)| *time <= now);
        let (time, key) = due.into_iter().find(|(_, key)| !self.under_way.contains(key))?.clone();
        self.times.remove(&(time, key.clone()));
        self.of.remove(&key);
        self.under_way.insert(key.clone());
        Some(key)
    }

    /// It went well, and is looked at again at `again` at the latest.
    pub(super) fn done(&mut self, key: ResourceKey, again: Option<Instant>) {
        self.under_way.remove(&key);
        self.failures.remove(&key);
        if let Some(again) = again {
            self.at(key, again);
        }
    }

    /// It failed, and is tried again after a pause.
    pub(super) fn failed(&mut self, key: ResourceKey) {
        self.under_way.remove(&key);
        let failures = self.failures.entry(key.clone()).or_default();
        let pause = FIRST.saturating_mul(1 << (*failures).min(10)).min(LAST);
        *failures += 1;
        self.at(key, Instant::now() + pause);
    }

    /// How many are under way.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::{Kind, ResourceKey};
    use tokio::time::Instant;

    use super::Due;

    #[tokio::test(start_paused = true)]
    async fn failures_wait_longer_each_time_and_news_do_not() {
        let key = ResourceKey::local(Kind::GATEWAY, "a", "b");
        let mut due = Due::default();
        due.now(key.clone());
        for pause in [250, 500, 1000] {
            assert_eq!(due.take(), Some(key.clone()));
            assert_eq!(due.take(), None, "it is under way");
            due.failed(key.clone());
            assert_eq!(due.next(), Some(Instant::now() + Duration::from_millis(pause)));
            assert_eq!(due.take(), None);
            tokio::time::advance(Duration::from_millis(pause)).await;
        }
        assert_eq!(due.take(), Some(key.clone()));
        due.now(key.clone());
        assert_eq!(due.next(), None, "it is under way");
        due.done(key.clone(), None);
        assert_eq!(due.take(), Some(key.clone()), "what came meanwhile is not lost");
        due.done(key.clone(), Some(Instant::now() + Duration::from_secs(9)));
        assert_eq!(due.next(), Some(Instant::now() + Duration::from_secs(9)));
    }
}
