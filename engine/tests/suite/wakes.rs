//! What is computed, and what is not.

use proto::Change;

use crate::Bed;
use crate::toy::{delete, event, piece, upsert};

#[test]
fn a_change_wakes_its_readers_alone() {
    let mut bed = Bed::new();
    bed.apply(&[upsert("a", "one 1"), upsert("b", "one 2"), upsert("c", "two 4")]);
    assert_eq!((bed.sum("one"), bed.sum("two")), (Some("3".into()), Some("4".into())));
    bed.apply(&[upsert("a", "one 5")]);
    assert_eq!((bed.computed("leaf"), bed.computed("sum")), (1, 1));
    assert_eq!(bed.sum("one"), Some("7".into()));
    // Its value stays, so nobody above is computed.
    bed.apply(&[upsert("a", "one 2 b"), upsert("b", "one 3")]);
    assert_eq!((bed.computed("leaf"), bed.sum("one")), (2, Some("8".into())));
    bed.apply(&[upsert("a", "one 3 x")]);
    bed.apply(&[upsert("x", "three 0")]);
    assert_eq!((bed.computed("leaf"), bed.computed("sum")), (2, 1), "what was absent wakes its reader");
    bed.apply(&[upsert("x", "three 0")]);
    assert_eq!(bed.computed("leaf"), 0, "told twice");
}

#[test]
fn a_node_lives_as_long_as_something_demands_it() {
    let mut bed = Bed::new();
    bed.apply(&[upsert("a", "one 1"), upsert("b", "one 2")]);
    bed.apply(&[delete("a")]);
    assert_eq!(bed.sum("one"), Some("2".into()));
    let delta = bed.apply(&[delete("b")]);
    assert_eq!(delta.removes, [piece("one")]);
    // Gone and wanted again in one batch.
    bed.apply(&[upsert("a", "one 1")]);
    let delta = bed.apply(&[delete("a"), upsert("b", "one 1")]);
    assert_eq!((delta.puts.len(), delta.removes.len(), bed.sum("one")), (0, 0, Some("1".into())));
    bed.apply(&[upsert("b", "two 1"), upsert("a", "one 9")]);
    assert_eq!((bed.sum("one"), bed.sum("two")), (Some("9".into()), Some("1".into())));
}

#[test]
fn who_went_into_a_piece() {
    let mut bed = Bed::new();
    bed.apply(&[upsert("a", "one 1 x"), upsert("b", "one 2"), upsert("x", "two 4")]);
    let names: Vec<_> =
        bed.engine.owners(&piece("one")).into_iter().map(|key| key.name.to_string()).collect();
    assert_eq!(names, ["a", "b", "x"]);
    let revision = |name| bed.engine.revision_of(&crate::toy::key(name)).map(|revision| revision.0);
    assert_eq!([revision("a"), revision("nobody")], [Some(1), None]);
    assert_eq!(bed.engine.verify(), Vec::<String>::new());
}

#[test]
fn an_object_that_does_not_decode_is_left_out_and_says_why() {
    let mut bed = Bed::new();
    bed.apply(&[upsert("a", "one 1"), upsert("b", "one x")]);
    assert_eq!(bed.sum("one"), Some("1".into()));
    assert_eq!(bed.faults(&crate::toy::key("b")).len(), 1);
    bed.apply(&[upsert("b", "one 2")]);
    assert_eq!((bed.sum("one"), bed.faults(&crate::toy::key("b"))), (Some("3".into()), vec![]));
    bed.apply(&[event("b", Change::Upsert("one x".into()))]);
    bed.apply(&[delete("b")]);
    assert!(bed.folded.reports.keys().all(|key| key.name == "a"), "{:?}", bed.folded.reports);
}
