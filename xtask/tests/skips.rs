//! `cargo xtask test` counts tests that were skipped, and takes them for failures in CI.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Stands for cargo: four tests end well, and one of them notes that it was skipped.
const CARGO: &str = r#"#!/bin/sh
case "$*" in *--no-fail-fast*)
  echo "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s"
  printf 'e2e-1\ta::b\tno root\n' >> "$FLEETGATE_SKIPS"
esac
"#;

#[test]
fn a_skipped_test_is_counted_and_fails_in_ci() {
    // The chore would fetch it.
    if needs::tool("envoy-1.40.0/envoy").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cargo = folder.path().join("cargo");
    fs::write(&cargo, CARGO).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    for (ci, code) in [("true", 1), ("", 0)] {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["test", "--quick"])
            .env("CARGO", &cargo)
            .env("CI", ci)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let last: Vec<&str> = said.lines().rev().take(2).collect();
        assert_eq!(last, ["3 passed, 0 failed, 1 skipped", "skipped, 1: no root"], "{said}");
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
