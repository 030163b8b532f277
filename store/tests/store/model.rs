//! Random scripts against a log that forgets nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proto::{Event, ResourceKey, Revision};
use store::{
    Compaction, Error, EventLog,
    contract::{Medium, delete, fold, read_all, synced, upsert},
};

use crate::contract::{Directory, Memory};

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Event>),
    Compact(usize),
    Reopen,
}

fn an_event() -> impl Strategy<Value = Event> {
    let name = prop::sample::select(vec!["a", "b", "c", "d"]);
    prop_oneof![
        5 => (name.clone(), 0..4_u64, 0..9_u8).prop_map(|(name, epoch, version)| upsert(name, epoch, &version.to_string())),
        2 => (name, 0..4_u64).prop_map(|(name, epoch)| delete(name, epoch)),
        2 => (0..4_u64, 0..4_u64).prop_map(|(epoch, before)| synced(epoch, before)),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(an_event(), 0..4).prop_map(Step::Append),
        2 => (0..3_usize).prop_map(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

/// All events ever, and what the last compaction promised.
#[derive(Default)]
struct Model {
    all: Vec<(Revision, Event)>,
    last: Compaction,
}

type State = BTreeMap<ResourceKey, (Revision, Event)>;

impl Model {
    fn head(&self) -> Revision {
        Revision(self.all.len() as u64)
    }

    fn state(&self, at: u64) -> State {
        fold(&self.all[..at as usize])
    }

    async fn check(&self, log: &dyn EventLog) {
        let head = self.head();
        assert_eq!(log.head().await.unwrap(), head);
        for at in 0..=head.0 {
            match log.state_at(Revision(at)).await {
                Ok(state) => assert_eq!(fold(&state), self.state(at), "state at {at}"),
                Err(error) => {
                    assert_eq!(error, Error::Compacted { oldest: self.last.horizon });
                    assert!(at < self.last.horizon.0);
                }
            }
            self.check_reader(log, at).await;
        }
        let retained = read_all(log, Revision::NONE).await;
        let oldest = retained.first().map_or_else(|| head.next(), |(revision, _)| *revision);
        assert_eq!(log.oldest().await.unwrap(), oldest);
        for (revision, event) in &retained {
            assert_eq!(*event, self.all[revision.0 as usize - 1].1);
            let history = log.history(&event.key).await.unwrap();
            let same = retained.iter().rev().filter(|(_, other)| other.key == event.key);
            assert!(history.iter().eq(same));
            assert_eq!(log.newest(&event.key).await.unwrap().as_ref(), history.first());
        }
    }

    /// A reader that has the state at some revision and goes on has the newest state, or is told.
    async fn check_reader(&self, log: &dyn EventLog, after: u64) {
        match log.read(Revision(after), usize::MAX).await {
            Ok(rest) => {
                let seen = self.all[..after as usize].to_vec();
                assert_eq!(fold(&[seen, rest].concat()), self.state(self.head().0), "after {after}");
            }
            Err(error) => {
                assert_eq!(error, Error::Compacted { oldest: self.last.resume });
                assert!(0 < after && after < self.last.resume.0);
            }
        }
    }
}

async fn run(medium: &dyn Medium, steps: Vec<Step>) {
    let mut log = medium.open().await;
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(events) => {
                for event in &events {
                    model.all.push((model.head().next(), event.clone()));
                }
                assert_eq!(log.append(&events).await.unwrap(), model.head());
            }
            Step::Compact(keep) => {
                let before = read_all(&*log, Revision::NONE).await.len();
                model.last = log.compact(keep).await.unwrap();
                let after = read_all(&*log, Revision::NONE).await.len();
                assert_eq!(before - after, model.last.dropped);
                assert!(model.last.horizon <= model.head() && model.last.resume <= model.head());
            }
            Step::Reopen => {
                drop(log);
                log = medium.open().await;
            }
        }
        model.check(&*log).await;
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn memory_follows_the_model(steps in prop::collection::vec(a_step(), 1..14)) {
        block_on(run(&Memory::fresh(), steps));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn sled_follows_the_model(steps in prop::collection::vec(a_step(), 1..12)) {
        block_on(run(&Directory::fresh(), steps));
    }
}
