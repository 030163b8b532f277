//! A test that is skipped says so and is noted.

use std::fs::File;
use std::io::Write;

/// Names the file in which skipped tests are noted: a line each of test program, test and reason, with tabs
/// between them.
pub const SKIPS: &str = "FLEETGATE_SKIPS";

/// Says that the test that calls this is skipped and why, and notes it. The test returns then. The reason ends with
/// what to do about it.
///
/// # Panics
/// If it cannot be noted: then it would count as passed.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    // The runner names a test's thread after it, but uses its own thread where it has only one.
    let test = thread.name().unwrap_or("main");
    // Not by a macro: the runner would keep what those print to itself.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {reason} ({test})\n").as_bytes());
    let Some(path) = std::env::var_os(SKIPS) else { return };
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.file_name().unwrap_or_default().to_string_lossy();
    // One write: tests of several programs append to it.
    let line = format!("{program}\t{test}\t{reason}\n");
    let file = File::options().create(true).append(true).open(&path);
    let noted = file.and_then(|mut file| file.write_all(line.as_bytes()));
    assert!(noted.is_ok(), "cannot note a skipped test in {}: {noted:?}", path.display());
}
