//! The crates depend on each other as ARCHITECTURE.md says, and `translate` stays pure.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not know as such

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Crate, and the members it may depend on.
const EDGES: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("lookup", &[]),
    ("proxy", &["lookup"]),
    ("ingest", &["proto"]),
    ("store", &["proto"]),
    ("translate", &["proto", "lookup"]),
    ("distribute", &["proto", "lookup", "store", "translate"]),
    ("loadtest", &["proto", "lookup", "ingest", "store", "translate", "distribute"]),
    ("fleetgate", &["proto", "lookup", "ingest", "store", "translate", "distribute"]),
    ("xtask", &[]),
];

/// Further edges, for tests only.
const DEV_EDGES: &[(&str, &str)] = &[("fleetgate", "loadtest"), ("translate", "ingest")];

/// What `translate` may not depend on, by the start of the name: I/O, clocks, randomness, logs, async.
const IMPURE: &[&str] = &[
    "async",
    "chrono",
    "crossbeam",
    "fastrand",
    "futures",
    "getrandom",
    "hyper",
    "jiff",
    "k8s",
    "kube",
    "log",
    "metrics",
    "mio",
    "notify",
    "rand",
    "rayon",
    "reqwest",
    "rustix",
    "sled",
    "smol",
    "time",
    "tokio",
    "tonic",
    "tower",
    "tracing",
    "uuid",
];

/// What the sources of `translate` may not name; `std::time::Duration` is plain data and may be.
const IMPURE_PATHS: &[&str] = &[
    "Instant",
    "SystemTime",
    "UNIX_EPOCH",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::io::std",
];

struct Dependency {
    from: String,
    to: String,
    dev: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn dependencies() -> (BTreeSet<String>, Vec<Dependency>) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let members = packages.iter().map(|package| text(&package["name"])).collect();
    let edges = packages.iter().flat_map(|package| {
        package["dependencies"].as_array().unwrap().iter().map(move |dependency| Dependency {
            from: text(&package["name"]),
            to: text(&dependency["name"]),
            dev: dependency["kind"] == "dev",
        })
    });
    (members, edges.collect())
}

#[test]
fn members_depend_on_each_other_as_written() {
    let (members, dependencies) = dependencies();
    let allowed: BTreeMap<_, _> = EDGES.iter().copied().collect();
    let known: BTreeSet<String> = allowed.keys().map(|&name| name.to_owned()).collect();
    assert_eq!(members, known, "a crate came or went: change ARCHITECTURE.md and this table");
    let wrong: Vec<_> = dependencies
        .iter()
        .filter(|edge| members.contains(&edge.to) && edge.from != edge.to)
        .filter(|edge| !allowed[edge.from.as_str()].contains(&edge.to.as_str()))
        .filter(|edge| !(edge.dev && DEV_EDGES.contains(&(edge.from.as_str(), edge.to.as_str()))))
        .map(|edge| format!("{} -> {}", edge.from, edge.to))
        .collect();
    assert!(wrong.is_empty(), "edges that ARCHITECTURE.md does not have: {wrong:?}");
}

#[test]
fn translate_depends_on_nothing_impure() {
    let wrong: Vec<_> = dependencies()
        .1
        .into_iter()
        .filter(|edge| edge.from == "translate" && !edge.dev)
        .map(|edge| edge.to)
        .filter(|to| IMPURE.iter().any(|impure| to.starts_with(impure)))
        .collect();
    assert!(wrong.is_empty(), "translate is pure, but depends on {wrong:?}");
}

#[test]
fn the_sources_of_translate_name_nothing_impure() {
    let mut wrong = Vec::new();
    let mut folders = vec![root().join("translate/src")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                wrong.extend(impure_lines(&path));
            }
        }
    }
    assert!(wrong.is_empty(), "translate is pure, but:\n{}", wrong.join("\n"));
}

fn impure_lines(path: &Path) -> Vec<String> {
    let source = std::fs::read_to_string(path).unwrap();
    let lines = source.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines
        .filter(|(_, line)| IMPURE_PATHS.iter().any(|impure| line.contains(impure)))
        .map(|(number, line)| format!("{}:{}: {}", path.display(), number + 1, line.trim()))
        .collect()
}
