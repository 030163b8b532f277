//! YAML as events, by the same way as the product.

use ingest::directory::{Options, read_once};
use proto::Event;

/// Events of the objects of some YAML; faults of form fail the test.
pub(crate) fn events(texts: &[&str]) -> Vec<Event> {
    let directory = tempfile::tempdir().unwrap();
    for (number, text) in texts.iter().enumerate() {
        std::fs::write(directory.path().join(format!("{number}.yaml")), text).unwrap();
    }
    let listing = read_once(Options::new(directory.path())).unwrap();
    let faults: Vec<String> = listing.faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    listing.events
}
