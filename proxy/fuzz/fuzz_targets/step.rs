//! What the module parses: the text of a step, and any request that takes it.
//! `cargo +nightly fuzz run step` in `proxy/`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookup::{Request, Step, Walk};

fuzz_target!(|input: (&[u8], &[u8], &[u8])| {
    let (text, authority, path) = input;
    let Ok(step) = Step::parse(text) else { return };
    assert_eq!(step.to_string().as_bytes(), text);
    let (mut walk, mut table) = (Walk::default(), String::new());
    for _ in 0..4 {
        step.take(&Request { authority, path }, &mut walk, &mut table);
        assert!(step.targets().contains(&table));
    }
});
