//! A node whose computation panics keeps its last good output and its reads, and its object learns of it.

use proptest::prelude::*;
use proto::Event;

use crate::Bed;
use crate::toy::{delete, key, upsert};

#[test]
fn what_panics_at_its_first_computation_is_tried_again_when_what_it_read_changes() {
    let mut bed = Bed::new();
    bed.apply(&[upsert("x", "two 3"), upsert("a", "one 10 x")]);
    assert_eq!((bed.failed(), bed.sum("one")), (1, None));
    let faults = bed.faults(&key("a"));
    assert!(faults[0].contains("(leaf: ") && faults[0].contains("a trap in a leaf"), "{faults:?}");
    let condition = &bed.folded.reports[&key("a")].conditions[0];
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "Internal"));
    // Not the object itself, but one that it read.
    bed.apply(&[upsert("x", "two 4")]);
    assert_eq!((bed.sum("one"), bed.faults(&key("a"))), (Some("14".into()), vec![]));
}

#[test]
fn the_last_good_output_stays() {
    let mut bed = Bed::new();
    bed.apply(&[upsert("a", "one 1"), upsert("b", "one 2"), upsert("one", "names 0")]);
    let delta = bed.apply(&[upsert("a", "one 98")]);
    assert_eq!((delta.puts.len(), delta.removes.len(), bed.failed()), (0, 0, 1));
    assert_eq!(bed.sum("one"), Some("3".into()));
    // The object that the sum is for, which has a status of its own beside it.
    assert!(bed.faults(&key("one"))[0].contains("(sum: "), "{:?}", bed.folded.reports);
    assert_eq!(bed.folded.reports[&key("one")].conditions, []);
    let owners = bed.engine.owners(&crate::toy::piece("one"));
    assert!(owners.contains(&key("b")), "{owners:?}");
    bed.apply(&[upsert("b", "one 3")]);
    assert_eq!((bed.sum("one"), bed.faults(&key("one"))), (Some("101".into()), vec![]));
}

#[test]
fn what_failed_and_goes_leaves_no_report() {
    let mut bed = Bed::new();
    bed.apply(&[upsert("a", "one 13")]);
    bed.apply(&[delete("a")]);
    assert!(bed.folded.reports.is_empty(), "{:?}", bed.folded.reports);
}

#[test]
fn an_object_that_cannot_even_be_decoded_hurts_no_other() {
    for trap in ["decode 1", "roots 1"] {
        let mut bed = Bed::new();
        bed.apply(&[upsert("a", "one 1"), upsert("b", trap), upsert("c", "one 2")]);
        assert_eq!(bed.sum("one"), Some("3".into()));
        assert!(bed.faults(&key("b"))[0].contains("a trap in "), "{:?}", bed.folded.reports);
        bed.apply(&[upsert("b", "one 3")]);
        assert_eq!((bed.sum("one"), bed.faults(&key("b"))), (Some("6".into()), vec![]));
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let name = prop::sample::select(vec!["a", "b", "c", "d"]);
    let text =
        (prop::sample::select(vec!["one", "two", "decode"]), prop::sample::select(vec![1, 12, 13, 87, 99]));
    let added = prop::option::of(name.clone());
    (name, prop::option::of((text, added))).prop_map(|(name, now)| match now {
        None => delete(name),
        Some(((group, value), None)) => upsert(name, &format!("{group} {value}")),
        Some(((group, value), Some(added))) => upsert(name, &format!("{group} {value} {added}")),
    })
}

proptest! {
    /// Whatever panicked on the way: once all is mended, all is as from scratch.
    #[test]
    fn nothing_of_a_panic_stays(batches in prop::collection::vec(prop::collection::vec(any_event(), 1..4), 1..12)) {
        let mut bed = Bed::new();
        for batch in &batches {
            bed.apply(batch);
        }
        let mended: Vec<Event> = ["a", "b", "c", "d"].map(|name| upsert(name, "one 2")).into();
        bed.apply(&mended);
        let mut scratch = Bed::new();
        scratch.apply(&mended);
        prop_assert_eq!(bed.engine.snapshot(), scratch.engine.snapshot());
        prop_assert_eq!(bed.engine.verify(), Vec::<String>::new());
    }
}
