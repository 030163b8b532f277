//! What every implementation must do, as tests to run over it. They panic where it does not.
#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use proto::{Change, ClusterId, Epoch, Event, Kind, ResourceKey, Revision};

use crate::{Error, EventLog, Loaded, LogId, Snapshot, SnapshotStore};

/// Where a log lives: opened again, it has what it had.
#[async_trait]
pub trait Medium: Send + Sync {
    /// Opens the log. The suite lets go of the one before first.
    async fn open(&self) -> Arc<dyn EventLog>;
}

/// The key of a test object.
pub fn key(name: &str) -> ResourceKey {
    ResourceKey::local(Kind::HTTP_ROUTE, "default", name)
}

/// A test object in a version.
pub fn upsert(name: &str, epoch: u64, version: &str) -> Event {
    let mut event = Event::synced(ClusterId::LOCAL, Kind::HTTP_ROUTE, Epoch(epoch), Epoch(0), 5);
    event.key = key(name);
    event.resource_version = version.into();
    event.change = Change::Upsert(format!("{{\"version\":\"{version}\"}}").into());
    event
}

/// A version of a test object as a newer fleetgate writes it.
pub fn newer(name: &str, epoch: u64, version: &str) -> Event {
    // Of a field that comes twice the last one counts: the envelope's version.
    let envelope = [upsert(name, epoch, version).encode(), vec![8, 99]].concat();
    Event::decode(envelope.into()).unwrap()
}

/// The end of a test object.
pub fn delete(name: &str, epoch: u64) -> Event {
    Event { change: Change::Delete, ..upsert(name, epoch, "gone") }
}

/// The end of a listing of the test objects.
pub fn synced(epoch: u64, sweep_before: u64) -> Event {
    Event::synced(ClusterId::LOCAL, Kind::HTTP_ROUTE, Epoch(epoch), Epoch(sweep_before), 5)
}

/// Folds entries into the objects that exist, as every reader of a log does.
pub fn fold(entries: &[(Revision, Event)]) -> BTreeMap<ResourceKey, (Revision, Event)> {
    let mut state = BTreeMap::new();
    for (revision, event) in entries {
        match event.change {
            Change::Upsert(_) | Change::Unknown(_) => {
                state.insert(event.key.clone(), (*revision, event.clone()));
            }
            Change::Delete => {
                state.remove(&event.key);
            }
            Change::Synced { sweep_before } => state.retain(|key, (_, last)| {
                (&key.cluster, &key.kind) != (&event.key.cluster, &event.key.kind)
                    || last.epoch >= sweep_before
            }),
        }
    }
    state
}

/// Every retained entry after a revision, page by page.
pub async fn read_all(log: &dyn EventLog, mut after: Revision) -> Vec<(Revision, Event)> {
    let mut all = Vec::new();
    loop {
        let page = log.read(after, 7).await.unwrap();
        let Some((last, _)) = page.last() else { return all };
        after = *last;
        all.extend(page);
    }
}

fn revisions(entries: &[(Revision, Event)]) -> Vec<u64> {
    entries.iter().map(|(revision, _)| revision.0).collect()
}

/// Runs the suite for logs; `fresh` makes a new, empty place for each test.
pub async fn log<M: Medium>(fresh: impl Fn() -> M) {
    an_empty_log(&fresh()).await;
    order_and_reopening(&fresh()).await;
    a_refused_batch_leaves_nothing(&fresh()).await;
    versions_of_an_object(&fresh()).await;
    states(&fresh()).await;
    what_a_newer_version_wrote(&fresh()).await;
    sweeps_survive_compaction(&fresh()).await;
    gone_objects_are_forgotten(&fresh()).await;
    concurrent_appends(&fresh()).await;
    the_head_is_followed(&fresh()).await;
    a_large_event(&fresh()).await;
    assert_ne!(fresh().open().await.identity(), fresh().open().await.identity());
}

async fn an_empty_log(medium: &dyn Medium) {
    let log = medium.open().await;
    assert_eq!(log.head().await.unwrap(), Revision::NONE);
    assert_eq!(log.oldest().await.unwrap(), Revision::FIRST);
    assert_eq!(log.append(&[]).await.unwrap(), Revision::NONE);
    assert_eq!(log.read(Revision::NONE, 10).await.unwrap(), []);
    assert_eq!(log.state_at(Revision::NONE).await.unwrap(), []);
    assert_eq!(log.newest(&key("a")).await.unwrap(), None);
    assert_eq!(log.compact(0).await.unwrap().dropped, 0);
    let ahead = Error::Ahead { asked: Revision(1), head: Revision::NONE };
    assert_eq!(log.read(Revision(1), 10).await.unwrap_err(), ahead);
    assert_eq!(log.state_at(Revision(1)).await.unwrap_err(), ahead);
}

async fn order_and_reopening(medium: &dyn Medium) {
    let log = medium.open().await;
    let identity = log.identity();
    let newer = newer("later", 1, "1");
    let events = [upsert("a", 1, "1"), upsert("b", 1, "1"), delete("a", 1), synced(1, 1), newer];
    assert_eq!(log.append(&events[..1]).await.unwrap(), Revision(1));
    assert_eq!(log.append(&events[1..]).await.unwrap(), Revision(5));
    assert_eq!(log.append(&[]).await.unwrap(), Revision(5));
    drop(log);
    let log = medium.open().await;
    assert_eq!(log.identity(), identity);
    assert_eq!(log.head().await.unwrap(), Revision(5));
    assert_eq!(*log.watch_head().borrow(), Revision(5));
    let all = read_all(&*log, Revision::NONE).await;
    assert_eq!(revisions(&all), [1, 2, 3, 4, 5]);
    assert!(all.iter().map(|(_, event)| event).eq(&events));
    assert_eq!(revisions(&log.read(Revision(2), 2).await.unwrap()), [3, 4]);
    assert_eq!(log.read(Revision(2), 0).await.unwrap(), []);
    assert_eq!(log.read(Revision(5), 9).await.unwrap(), []);
    assert_eq!(log.append(&events[..1]).await.unwrap(), Revision(6));
}

async fn a_refused_batch_leaves_nothing(medium: &dyn Medium) {
    let log = medium.open().await;
    let bad = upsert(&"x".repeat(70_000), 1, "1");
    let error = log.append(&[upsert("a", 1, "1"), bad]).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(log.head().await.unwrap(), Revision::NONE);
    assert_eq!(log.newest(&key("a")).await.unwrap(), None);
    assert_eq!(log.append(&[upsert("a", 1, "1")]).await.unwrap(), Revision(1));
}

async fn versions_of_an_object(medium: &dyn Medium) {
    let log = medium.open().await;
    for version in ["1", "2", "3", "4"] {
        log.append(&[upsert("a", 1, version), upsert("ab", 1, version)]).await.unwrap();
    }
    log.append(&[delete("a", 1)]).await.unwrap();
    assert_eq!(log.newest(&key("a")).await.unwrap(), Some((Revision(9), delete("a", 1))));
    assert_eq!(log.newest(&key("ab")).await.unwrap(), Some((Revision(8), upsert("ab", 1, "4"))));
    assert_eq!(revisions(&log.history(&key("a")).await.unwrap()), [9, 7, 5, 3, 1]);
    let done = log.compact(1).await.unwrap();
    assert_eq!((done.dropped, done.horizon, done.resume), (5, Revision(7), Revision::NONE));
    drop(log);
    let log = medium.open().await;
    assert_eq!(revisions(&log.history(&key("a")).await.unwrap()), [9, 7]);
    assert_eq!(revisions(&log.history(&key("ab")).await.unwrap()), [8, 6]);
    assert_eq!(log.oldest().await.unwrap(), Revision(6));
    assert_eq!(revisions(&read_all(&*log, Revision::NONE).await), [6, 7, 8, 9]);
    assert_eq!(revisions(&log.state_at(Revision(7)).await.unwrap()), [6, 7]);
    let compacted = Error::Compacted { oldest: Revision(7) };
    assert_eq!(log.state_at(Revision(6)).await.unwrap_err(), compacted);
    assert_eq!(log.compact(1).await.unwrap().dropped, 0, "the event at the head stays");
    log.append(&[upsert("ab", 1, "5")]).await.unwrap();
    assert_eq!(log.compact(1).await.unwrap().dropped, 3, "the object gone before is forgotten");
}

async fn states(medium: &dyn Medium) {
    let log = medium.open().await;
    let mut other = upsert("a", 1, "1");
    other.key.kind = Kind::SERVICE;
    let events = [upsert("a", 1, "1"), upsert("b", 1, "1"), other, upsert("b", 2, "2"), synced(2, 2)];
    log.append(&events).await.unwrap();
    log.append(&[upsert("a", 3, "3"), synced(3, 0), delete("b", 3)]).await.unwrap();
    let expected: [&[u64]; 9] =
        [&[], &[1], &[1, 2], &[1, 2, 3], &[1, 3, 4], &[3, 4, 5], &[3, 4, 5, 6], &[3, 4, 6, 7], &[3, 6, 7]];
    for (at, expected) in (0..).zip(expected) {
        assert_eq!(revisions(&log.state_at(Revision(at)).await.unwrap()), expected, "at {at}");
    }
}

async fn what_a_newer_version_wrote(medium: &dyn Medium) {
    let log = medium.open().await;
    let unreadable = newer("a", 1, "2");
    assert!(matches!(unreadable.change, Change::Unknown(_)));
    log.append(&[upsert("a", 1, "1"), unreadable.clone(), newer("a", 1, "3"), newer("b", 1, "1")])
        .await
        .unwrap();
    // An object that went, and one that was swept away, and came back as something that cannot be read.
    log.append(&[upsert("c", 1, "1"), delete("c", 1), newer("c", 2, "2")]).await.unwrap();
    log.append(&[upsert("d", 1, "1"), synced(2, 2), newer("d", 2, "2"), upsert("e", 2, "1")]).await.unwrap();
    drop(log);
    let log = medium.open().await;
    let all = read_all(&*log, Revision::NONE).await;
    assert_eq!(all[1], (Revision(2), unreadable), "it comes as it is, for those who can read it");
    let expected: [(u64, &[u64]); 5] =
        [(2, &[1, 2]), (4, &[1, 3, 4]), (7, &[1, 3, 4, 7]), (9, &[7, 9]), (11, &[7, 9, 10, 11])];
    for (at, expected) in expected {
        assert_eq!(revisions(&log.state_at(Revision(at)).await.unwrap()), expected, "at {at}");
    }
    log.append(&[upsert("c", 2, "3"), delete("d", 2)]).await.unwrap();
    assert_eq!(revisions(&log.state_at(Revision(13)).await.unwrap()), [9, 11, 12]);
}

async fn sweeps_survive_compaction(medium: &dyn Medium) {
    let log = medium.open().await;
    // `old` is swept at 2; the newer markers sweep nothing and must not bring it back.
    log.append(&[upsert("old", 1, "1"), synced(2, 2), synced(3, 0), synced(4, 0)]).await.unwrap();
    let done = log.compact(0).await.unwrap();
    assert_eq!((done.dropped, done.horizon), (1, Revision(4)));
    assert!(fold(&read_all(&*log, Revision::NONE).await).is_empty());
    assert_eq!(revisions(&log.state_at(Revision(4)).await.unwrap()), [4]);
    log.compact(0).await.unwrap();
    assert_eq!(log.history(&key("old")).await.unwrap(), []);
    let error = log.read(Revision(1), 10).await.unwrap_err();
    assert_eq!(error, Error::Compacted { oldest: Revision(2) }, "a reader at 1 would keep `old`");
    assert_eq!(log.compact(0).await.unwrap().dropped, 0);
    assert_eq!(revisions(&read_all(&*log, Revision::NONE).await), [4]);
}

async fn gone_objects_are_forgotten(medium: &dyn Medium) {
    let log = medium.open().await;
    log.append(&[upsert("old", 1, "1"), upsert("a", 1, "1"), delete("a", 1), upsert("b", 1, "1")])
        .await
        .unwrap();
    assert_eq!(log.compact(9).await.unwrap().dropped, 0, "the delete stays for one compaction");
    assert_eq!(revisions(&log.read(Revision(2), 9).await.unwrap()), [3, 4]);
    let done = log.compact(9).await.unwrap();
    assert_eq!((done.dropped, done.horizon, done.resume), (2, Revision(3), Revision(3)));
    log.append(&[delete("b", 1)]).await.unwrap();
    assert_eq!(log.compact(0).await.unwrap().dropped, 1);
    drop(log);
    let log = medium.open().await;
    assert_eq!(log.head().await.unwrap(), Revision(5));
    assert_eq!(log.oldest().await.unwrap(), Revision(1));
    assert_eq!(log.read(Revision(1), 9).await.unwrap_err(), Error::Compacted { oldest: Revision(3) });
    assert_eq!(revisions(&log.read(Revision::NONE, 1).await.unwrap()), [1, 5], "one can go on from there");
    assert_eq!(log.append(&[upsert("a", 1, "2")]).await.unwrap(), Revision(6));
    assert_eq!(revisions(&log.read(Revision(5), 9).await.unwrap()), [6]);
}

async fn concurrent_appends(medium: &dyn Medium) {
    let log = medium.open().await;
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut last = Revision::NONE;
                for at in 0..20 {
                    let name = format!("{task}-{at}");
                    let batch = [upsert(&name, task, "1"), upsert(&name, task, "2")];
                    let revision = log.append(&batch).await.unwrap();
                    assert!(revision > last);
                    assert_eq!(log.newest(&key(&name)).await.unwrap().unwrap().0, revision);
                    last = revision;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let all = read_all(&*log, Revision::NONE).await;
    assert!(revisions(&all).into_iter().eq(1..=320));
    for pair in all.chunks(2) {
        assert_eq!(pair[0].1.key, pair[1].1.key, "a batch is not torn apart");
    }
}

async fn the_head_is_followed(medium: &dyn Medium) {
    let log = medium.open().await;
    let mut head = log.watch_head();
    assert_eq!(*head.borrow_and_update(), Revision::NONE);
    let follower = tokio::spawn(async move {
        head.changed().await.unwrap();
        *head.borrow()
    });
    let revision = log.append(&[upsert("a", 1, "1"), upsert("b", 1, "1")]).await.unwrap();
    assert_eq!(follower.await.unwrap(), revision);
    assert_eq!(*log.watch_head().borrow(), revision);
}

async fn a_large_event(medium: &dyn Medium) {
    let log = medium.open().await;
    let pattern: Vec<u8> = (0..8_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let large = Event { change: Change::Upsert(pattern.into()), ..upsert("large", 1, "1") };
    log.append(&[upsert("a", 1, "1"), large.clone(), upsert("b", 1, "1")]).await.unwrap();
    drop(log);
    let log = medium.open().await;
    assert_eq!(revisions(&read_all(&*log, Revision::NONE).await), [1, 2, 3]);
    assert!(log.newest(&large.key).await.unwrap() == Some((Revision(2), large)));
    log.append(&[delete("large", 1)]).await.unwrap();
    assert_eq!(log.compact(0).await.unwrap().dropped, 1);
    assert_eq!(revisions(&read_all(&*log, Revision::NONE).await), [1, 3, 4]);
}

/// Runs the suite for snapshot stores; `open` opens the same, at first empty place again and again.
pub async fn snapshots<S: SnapshotStore>(open: impl Fn() -> S) {
    assert_eq!(open().load().await.unwrap(), Loaded::None);
    let empty = Snapshot { log: LogId(u128::MAX), revision: Revision::NONE, events: Vec::new() };
    open().save(&empty).await.unwrap();
    assert_eq!(open().load().await.unwrap(), Loaded::Found(empty));
    let events = (0..500).map(|at| upsert(&at.to_string(), at, &"x".repeat(at as usize))).collect();
    let full = Snapshot { log: LogId(7), revision: Revision(u64::MAX), events };
    let store = open();
    store.save(&full).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Loaded::Found(full.clone()));
    assert_eq!(open().load().await.unwrap(), Loaded::Found(full));
}
