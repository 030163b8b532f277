//! Whatever bytes a directory holds, the source answers with events and faults.

use std::fs;

use ingest::directory::{Options, read_once};
use ingest::{Limits, yaml};
use proptest::prelude::*;

/// Text of the pieces that YAML is made of: breaks more than random bytes do.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        ": ",
        "- ",
        "\n",
        "  ",
        "\t",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "<<: ",
        "---\n",
        "...\n",
        "%",
        "!!str ",
        "|",
        ">",
        "'",
        "\"",
        "#",
        "? ",
        "\\",
        "\u{feff}",
        "é",
        "~",
        "0x",
        "kind: Service\n",
        "apiVersion: v1\n",
        "metadata: {name: a}\n",
        "items:\n",
        "\r\n",
        "@",
        "`",
        "1e9",
        "!",
        "- - ",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_pieces_compose_or_are_refused(text in pieces()) {
        let whole: usize = yaml::split(&text).iter().map(|chunk| chunk.text.len()).sum();
        prop_assert!(whole <= text.len());
        for chunk in yaml::split(&text) {
            let _ = yaml::compose(chunk.text, &Limits::default());
        }
    }

    #[test]
    fn any_bytes_are_read_or_are_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200), text in pieces()) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.yaml"), &bytes).unwrap();
        fs::write(dir.path().join("b.json"), &bytes).unwrap();
        fs::write(dir.path().join("c.yaml"), &text).unwrap();
        let listing = read_once(Options::new(dir.path())).unwrap();
        prop_assert!(listing.events.len() >= 10);
    }
}
