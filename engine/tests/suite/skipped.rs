//! Events that a newer version wrote: the object stays as it was, and says so.

use proto::{Change, Epoch, Event};

use crate::Bed;
use crate::toy::{delete, event, key, upsert};

fn newer(name: &str) -> Event {
    event(name, Change::Unknown("of a newer version".into()))
}

#[test]
fn the_last_good_object_is_kept_until_something_newer_can_be_read() {
    let mut bed = Bed::new();
    bed.apply(&[upsert("a", "one 1")]);
    bed.apply(&[newer("a"), newer("b")]);
    assert_eq!(bed.sum("one"), Some("1".into()));
    assert!(bed.faults(&key("a"))[0].contains("newer fleetgate"), "{:?}", bed.folded.reports);
    assert_eq!(bed.folded.reports[&key("b")].conditions[0].reason, "NewerVersion");
    // Also the one that was there before, told once more.
    bed.apply(&[upsert("a", "one 1"), upsert("b", "one 2")]);
    assert_eq!(
        (bed.sum("one"), bed.faults(&key("a")), bed.faults(&key("b"))),
        (Some("3".into()), vec![], vec![])
    );
    bed.apply(&[newer("a")]);
    bed.apply(&[delete("a")]);
    assert_eq!((bed.sum("one"), bed.faults(&key("a"))), (Some("2".into()), vec![]));
}

#[test]
fn what_was_skipped_is_in_the_state_for_who_can_read_it() {
    let mut bed = Bed::new();
    bed.apply(&[upsert("a", "one 1"), newer("a"), newer("b")]);
    let state: Vec<Event> = bed.engine.objects().cloned().collect();
    assert_eq!(state.len(), 3);
    let mut restored = Bed::new();
    restored.apply(&state);
    assert_eq!(restored.engine.snapshot(), bed.engine.snapshot());
}

#[test]
fn a_listing_that_has_it_does_not_sweep_it_away() {
    let mut bed = Bed::new();
    bed.apply(&[upsert("a", "one 1"), upsert("b", "one 2"), newer("c")]);
    let synced = |epoch| Event {
        key: proto::ResourceKey { namespace: "".into(), name: "".into(), ..key("") },
        ..event("", Change::Synced { sweep_before: Epoch(epoch) })
    };
    bed.apply(&[Event { epoch: Epoch(2), ..newer("a") }, synced(2)]);
    assert_eq!(bed.sum("one"), Some("1".into()));
    assert!(!bed.folded.reports.contains_key(&key("c")), "gone with the listing");
    bed.apply(&[synced(3)]);
    assert!(bed.folded.reports.is_empty());
}
