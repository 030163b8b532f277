//! The crates depend on each other as ARCHITECTURE.md says, `translate` stays pure, and unsafe code stays in one
//! file.

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
    ("engine", &["proto"]),
    ("translate", &["proto", "lookup", "engine"]),
    ("shard", &["proto", "store", "translate"]),
    ("distribute", &["proto", "lookup"]),
    ("loadtest", &["proto", "lookup", "ingest", "store", "translate", "distribute"]),
    ("fleetgate", &["proto", "lookup", "ingest", "store", "translate", "shard", "distribute"]),
    ("testbed", &[]),
    ("needs", &[]),
    ("xtask", &[]),
];

/// Further edges, for tests only; and those of all to `needs`.
const DEV_EDGES: &[(&str, &str)] = &[("fleetgate", "loadtest"), ("translate", "ingest")];

/// Modules of `translate` from the ground up, and the ones that each may name.
const FLOORS: &[(&str, &[&str])] = &[
    ("cx", &[]),
    ("env", &[]),
    ("envoy", &[]),
    ("hostname", &[]),
    ("model", &["cx"]),
    ("ir", &["hostname", "model"]),
    ("resolve", &["cx", "env", "hostname", "ir", "model"]),
    ("features", &["envoy", "hostname", "ir", "model", "resolve"]),
    ("attach", &["cx", "env", "features", "hostname", "ir", "model", "resolve"]),
    ("emit", &["attach", "cx", "envoy", "features", "hostname", "ir", "model", "resolve"]),
    ("graph", &["attach", "cx", "emit", "env", "ir", "model", "resolve"]),
    ("engine", &["cx", "env"]),
];

/// The one file with unsafe code.
const UNSAFE: &str = "proxy/src/abi.rs";

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
        .filter(|edge| !(edge.dev && edge.to == "needs"))
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
        .filter(|edge| ["engine", "translate"].contains(&edge.from.as_str()) && !edge.dev)
        .map(|edge| edge.to)
        .filter(|to| IMPURE.iter().any(|impure| to.starts_with(impure)))
        .collect();
    assert!(wrong.is_empty(), "translate is pure, but depends on {wrong:?}");
}

#[test]
fn the_sources_of_translate_name_nothing_impure() {
    let wrong: Vec<_> =
        sources(&root().join("translate/src")).iter().flat_map(|path| impure_lines(path)).collect();
    assert!(wrong.is_empty(), "translate is pure, but:\n{}", wrong.join("\n"));
}

#[test]
fn modules_of_translate_name_those_below_them() {
    let root = root().join("translate/src");
    let mut wrong = Vec::new();
    for path in sources(&root) {
        let below = path.strip_prefix(&root).unwrap().components().next().unwrap();
        let module = below.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let Some((_, may)) = FLOORS.iter().find(|(floor, _)| *floor == module) else {
            assert_eq!(module, "lib", "a module without a floor");
            continue;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        let named = named_modules(&text);
        let others = named.iter().filter(|name| **name != module && !may.contains(&name.as_str()));
        wrong.extend(others.map(|name| format!("{} names {name}", path.display())));
    }
    assert!(wrong.is_empty(), "against the order of FLOORS:\n{}", wrong.join("\n"));
}

/// The modules of the crate that a source names, in paths and in the braces behind `crate::`.
fn named_modules(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut named = BTreeSet::new();
    for (place, found) in code.match_indices("crate::") {
        let rest = &code[place + found.len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split(';').next().unwrap_or_default(),
            None => rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default(),
        };
        let words = names.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned);
        named.extend(words.filter(|word| FLOORS.iter().any(|(floor, _)| floor == word)));
    }
    named
}

#[test]
fn names_of_modules_are_found_in_code_only() {
    let text = "// crate::graph\nuse crate::{attach, emit::route};\nfn f() { crate::ir::names::x() }";
    assert!(named_modules(text).iter().map(String::as_str).eq(["attach", "emit", "ir"]));
}

#[test]
fn unsafe_code_is_in_one_file() {
    let root = root();
    let found: Vec<PathBuf> = sources(&root)
        .into_iter()
        .filter(|path| has_word(&code_of(&std::fs::read_to_string(path).unwrap()), "unsafe"))
        .map(|path| path.strip_prefix(&root).unwrap().to_owned())
        .collect();
    assert_eq!(found, [Path::new(UNSAFE)], "only the ABI to Envoy needs `unsafe`");
}

#[test]
fn the_word_unsafe_is_found_in_code_only() {
    let found = |source: &str| has_word(&code_of(source), "unsafe");
    for code in [
        "unsafe { x() }",
        "#[unsafe(no_mangle)]",
        "'\"'; unsafe {}",
        "f::<'a>(); unsafe {}",
        r#""\""; unsafe {}"#,
    ] {
        assert!(found(code), "{code}");
    }
    for other in [
        "#![allow(unsafe_code)]",
        "x(); // unsafe",
        "/* /* */ unsafe */ x()",
        r#"x("unsafe \" unsafe", 'a', '\'', b"unsafe")"#,
        "r##\"\"# unsafe\"##",
    ] {
        assert!(!found(other), "{other}");
    }
}

/// All Rust sources in and below a folder, in order.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut sources = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(path);
            }
        }
    }
    sources.sort();
    sources
}

fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|one| one == word)
}

/// A source without its comments, strings and characters.
fn code_of(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && is_character(rest) {
            quoted(rest, '\'')
        } else if let Some(end) = raw_end(&code, rest) {
            rest[1..].find(&end).map_or(rest.len(), |at| 1 + at + end.len())
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[length..];
    }
    code
}

/// What ends the raw string that begins here, if one does.
fn raw_end(code: &str, rest: &str) -> Option<String> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let in_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_') && !code.ends_with(['b', 'c']);
    (after[hashes..].starts_with('"') && !in_word).then(|| format!("\"{}", "#".repeat(hashes)))
}

/// True for a character, false for a lifetime.
fn is_character(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

/// Length of a text in quotes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a comment, which may have others in it.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let bytes = &rest.as_bytes()[at..];
        match bytes {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn impure_lines(path: &Path) -> Vec<String> {
    let source = std::fs::read_to_string(path).unwrap();
    let lines = source.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines
        .filter(|(_, line)| IMPURE_PATHS.iter().any(|impure| line.contains(impure)))
        .map(|(number, line)| format!("{}:{}: {}", path.display(), number + 1, line.trim()))
        .collect()
}
