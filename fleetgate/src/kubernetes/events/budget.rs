//! How many Events may be told: of one object, and in all. What is beyond is counted and not told: the statuses have it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use proto::ResourceKey;

/// In all: at once, and then one each so often.
const ALL: Rate = Rate { burst: 100, every: Duration::from_millis(200) };
/// Of one object.
const EACH: Rate = Rate { burst: 10, every: Duration::from_secs(60) };
/// Objects that are kept in mind.
const OBJECTS: usize = 4096;

#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// A bucket of tokens, as the time at which it will be full again.
#[derive(Clone, Copy, Default)]
struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    fn has_one(self, rate: Rate, now: Instant) -> bool {
        let missing = self.full_at.map_or(Duration::ZERO, |full| full.saturating_duration_since(now));
        missing + rate.every <= rate.every * rate.burst
    }

    fn take(&mut self, rate: Rate, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |full| full.max(now)) + rate.every);
    }
}

/// What is left of both.
#[derive(Default)]
pub(super) struct Budget {
    all: Bucket,
    each: HashMap<ResourceKey, Bucket>,
}

impl Budget {
    /// True if one more may be told of an object; it counts from then on.
    pub(super) fn take(&mut self, key: &ResourceKey, now: Instant) -> bool {
        if self.each.len() >= OBJECTS {
            self.each.retain(|_, bucket| bucket.full_at.is_some_and(|full| full > now));
        }
        let known = self.each.contains_key(key) || self.each.len() < OBJECTS;
        let own = self.each.get(key).copied().unwrap_or_default();
        if !known || !own.has_one(EACH, now) || !self.all.has_one(ALL, now) {
            return false;
        }
        self.all.take(ALL, now);
        self.each.entry(key.clone()).or_default().take(EACH, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proto::{Kind, ResourceKey};

    use super::{Budget, OBJECTS};

    fn key(name: &str) -> ResourceKey {
        ResourceKey::local(Kind::HTTP_ROUTE, "default", name)
    }

    #[test]
    fn one_object_cannot_use_it_up_and_all_together_neither() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        let told = (0..1000).filter(|_| budget.take(&key("a"), now)).count();
        assert_eq!(told, 10);
        let told = (0..1000).filter(|n| budget.take(&key(&n.to_string()), now)).count();
        assert_eq!(told, 90);
        let later = now + Duration::from_secs(60);
        assert!(budget.take(&key("a"), later) && !budget.take(&key("a"), later));
        let told = (0..1000).filter(|n| budget.take(&key(&n.to_string()), later)).count();
        assert_eq!(told, 99);
    }

    #[test]
    fn what_it_keeps_in_mind_is_bounded() {
        let (mut budget, mut now) = (Budget::default(), Instant::now());
        for n in 0..OBJECTS * 2 {
            budget.take(&key(&n.to_string()), now);
            now += Duration::from_secs(1);
        }
        assert!(budget.each.len() <= OBJECTS);
    }
}
