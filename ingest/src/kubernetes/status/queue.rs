//! Whose status is written when: at once after a quiet time, else when it has settled.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proto::{Kind, ResourceKey};
use rustc_hash::{FxHashMap, FxHashSet};

/// An object that was not written for so long is quiet.
const QUIET: Duration = Duration::from_secs(1);
/// A change that none follows for so long has settled.
const SETTLED: Duration = Duration::from_millis(100);
/// The longest that a change waits for others to settle.
const LONGEST: Duration = Duration::from_secs(1);
/// Pause after the first refusal; it doubles up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// What is known of an object that was written or wants to be.
#[derive(Debug, Default)]
struct Entry {
    written: Option<Instant>,
    /// When the first change came that is not written.
    since: Option<Instant>,
    due: Option<Instant>,
    /// Refusals in a row.
    refusals: u32,
}

/// When, and by what came first; objects.
type Turns = BTreeMap<(Instant, u64), ResourceKey>;

/// Objects with a status to write, in the order of their turns. A clock is passed in.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: FxHashMap<ResourceKey, Entry>,
    turns: Turns,
    /// Of Gateways: there are few, many wait for them, and a thousand routes would be before them.
    gateways: Turns,
    places: FxHashMap<ResourceKey, (Instant, u64)>,
    in_flight: FxHashSet<ResourceKey>,
    count: u64,
}

impl Queue {
    /// A status of ours changed.
    pub(super) fn changed(&mut self, key: &ResourceKey, now: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        let since = *entry.since.get_or_insert(now);
        let quiet = entry.written.is_none_or(|written| now.duration_since(written) >= QUIET);
        let due = if quiet { now } else { (now + SETTLED).min(since + LONGEST) };
        // What was refused keeps its pause.
        let due = if entry.refusals > 0 { entry.due.unwrap_or(due).max(due) } else { due };
        self.place(key, due);
    }

    /// The server has another version of an object: perhaps not what we want.
    pub(super) fn look(&mut self, key: &ResourceKey, now: Instant) {
        if !self.places.contains_key(key) {
            self.place(key, now);
        }
    }

    fn place(&mut self, key: &ResourceKey, due: Instant) {
        self.leave(key);
        self.count += 1;
        let place = (due, self.count);
        let turns = if key.kind == Kind::GATEWAY { &mut self.gateways } else { &mut self.turns };
        turns.insert(place, key.clone());
        self.places.insert(key.clone(), place);
        self.entries.entry(key.clone()).or_default().due = Some(due);
    }

    fn leave(&mut self, key: &ResourceKey) {
        if let Some(place) = self.places.remove(key) {
            self.gateways.remove(&place);
            self.turns.remove(&place);
        }
    }

    /// The next object whose turn has come and that is not being written; it is then.
    pub(super) fn next(&mut self, now: Instant) -> Option<ResourceKey> {
        let due = [&self.gateways, &self.turns].map(|turns| turns.range(..=(now, u64::MAX)));
        let (_, key) = due.into_iter().flatten().find(|(_, key)| !self.in_flight.contains(*key))?;
        let key = key.clone();
        self.leave(&key);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.since = None;
            entry.due = None;
        }
        self.in_flight.insert(key.clone());
        Some(key)
    }

    /// When to call [`Queue::next`] again.
    pub(super) fn wake(&self) -> Option<Instant> {
        let first = |turns: &Turns| {
            let mut waiting = turns.iter().filter(|(_, key)| !self.in_flight.contains(*key));
            waiting.next().map(|((due, _), _)| *due)
        };
        [&self.gateways, &self.turns].into_iter().filter_map(first).min()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Its status is written, or needed not to be.
    pub(super) fn done(&mut self, key: &ResourceKey, wrote: bool, now: Instant) {
        self.in_flight.remove(key);
        if let Some(entry) = self.entries.get_mut(key) {
            entry.refusals = 0;
            if wrote {
                entry.written = Some(now);
            }
        }
    }

    /// The server refused it: once more after a pause, at least as long as it asks for.
    pub(super) fn refused(&mut self, key: &ResourceKey, pause: Option<Duration>, now: Instant) {
        self.in_flight.remove(key);
        let entry = self.entries.entry(key.clone()).or_default();
        let doubled = FIRST_PAUSE * 2_u32.saturating_pow(entry.refusals.min(16));
        entry.refusals += 1;
        let pause = pause.unwrap_or_default().max(doubled.min(LAST_PAUSE));
        self.place(key, now + pause);
    }

    /// Forgets an object that is gone.
    pub(super) fn forget(&mut self, key: &ResourceKey) {
        self.in_flight.remove(key);
        self.entries.remove(key);
        self.leave(key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proto::{Kind, ResourceKey};

    use super::{LAST_PAUSE, Queue};

    fn key(name: &str) -> ResourceKey {
        ResourceKey::local(Kind::GATEWAY, "default", name)
    }

    const MS: Duration = Duration::from_millis(1);

    /// Writes whatever is due at each millisecond up to `until`; when it wrote.
    fn run(queue: &mut Queue, start: Instant, until: u32, mut change: impl FnMut(u32) -> bool) -> Vec<u32> {
        let mut written = Vec::new();
        for ms in 0..until {
            let now = start + MS * ms;
            if change(ms) {
                queue.changed(&key("web"), now);
            }
            while let Some(next) = queue.next(now) {
                written.push(ms);
                queue.done(&next, true, now);
            }
        }
        written
    }

    #[test]
    fn a_thousand_changes_in_five_seconds_are_a_few_writes_and_the_last_is_soon() {
        let written = run(&mut Queue::default(), Instant::now(), 6000, |ms| ms < 5000 && ms % 5 == 0);
        assert!(written.len() <= 8, "{written:?}");
        assert_eq!(written[0], 0);
        assert!(*written.last().unwrap() >= 4995 && *written.last().unwrap() <= 5100, "{written:?}");
    }

    #[test]
    fn changes_far_apart_are_written_at_once() {
        let written = run(&mut Queue::default(), Instant::now(), 5000, |ms| ms % 1500 == 0);
        assert_eq!(written, [0, 1500, 3000, 4500]);
    }

    #[test]
    fn an_object_is_written_once_at_a_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.changed(&key("web"), now);
        queue.changed(&key("other"), now);
        assert_eq!(queue.next(now), Some(key("web")));
        queue.changed(&key("web"), now);
        assert_eq!(queue.next(now), Some(key("other")));
        assert_eq!((queue.next(now), queue.in_flight(), queue.wake()), (None, 2, None));
        queue.done(&key("web"), true, now);
        assert_eq!(queue.next(now), Some(key("web")), "its second change came before the first was written");
    }

    #[test]
    fn a_gateway_is_written_before_routes_that_came_first() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let route = ResourceKey::local(Kind::HTTP_ROUTE, "default", "r");
        queue.changed(&route, now);
        queue.changed(&key("web"), now + MS);
        assert_eq!(queue.next(now + MS), Some(key("web")));
        assert_eq!(queue.next(now + MS), Some(route));
    }

    #[test]
    fn refusals_back_off_and_a_new_change_does_not_cut_them_short() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.changed(&key("web"), now);
        let mut pauses = Vec::new();
        for _ in 0..14 {
            let next = queue.next(now).unwrap();
            queue.refused(&next, None, now);
            queue.changed(&key("web"), now);
            let wake = queue.wake().unwrap();
            pauses.push(wake - now);
            now = wake;
        }
        assert_eq!(pauses[..3], [MS * 50, MS * 100, MS * 200]);
        assert_eq!(pauses.last(), Some(&LAST_PAUSE));
        let next = queue.next(now).unwrap();
        queue.done(&next, true, now);
        queue.look(&key("web"), now);
        let next = queue.next(now).unwrap();
        queue.refused(&next, Some(MS * 7000), now);
        assert_eq!(queue.wake(), Some(now + MS * 7000), "as the server asks");
        queue.forget(&key("web"));
        assert_eq!(queue.wake(), None);
    }
}
