//! What the documents say is there: flags, metrics, linked files, and an example without faults.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not know as such

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates that have metrics.
const SOURCES: &[&str] = &["distribute/src", "fleetgate/src", "ingest/src", "store/src", "translate/src"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn manual() -> String {
    fs::read_to_string(root().join("docs/cli.md")).unwrap()
}

/// The part below a command's heading.
fn section<'a>(manual: &'a str, command: &str) -> &'a str {
    let heading = format!("## `fleetgate {command}");
    let start = manual.find(&heading).unwrap_or_else(|| panic!("docs/cli.md has no heading {heading}"));
    let rest = &manual[start + heading.len()..];
    rest.find("\n## ").map_or(rest, |end| &rest[..end])
}

#[test]
fn every_flag_of_every_command_is_in_the_manual() {
    let Some(fleetgate) = needs::built("fleetgate") else { return };
    let manual = manual();
    let mut missing = Vec::new();
    for command in ["standalone", "translate", "bootstrap", "get", "log", "diff", "check", "version"] {
        let output = Command::new(&fleetgate).args([command, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        // The examples after the flags name those of other programs.
        let help = help.split("\nExamples").next().unwrap_or_default();
        let section = section(&manual, command);
        let flags = words(help, |c| c.is_ascii_lowercase() || c == '-');
        let flags = flags.into_iter().filter(|word| word.starts_with("--") && word.len() > 2);
        missing.extend(
            flags
                .filter(|flag| flag != "--help" && !section.contains(flag.as_str()))
                .map(|flag| format!("{command} {flag}")),
        );
        let variables = words(help, |c| c.is_ascii_uppercase() || c == '_');
        let variables = variables.into_iter().filter(|word| word.starts_with("FLEETGATE_"));
        missing.extend(variables.filter(|variable| !manual.contains(variable.as_str())));
    }
    assert!(missing.is_empty(), "docs/cli.md does not have {missing:?}");
}

#[test]
fn the_quickstart_has_no_faults() {
    let Some(fleetgate) = needs::built("fleetgate") else { return };
    let output = Command::new(fleetgate)
        .args(["translate", "--config", "examples/quickstart"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn links_lead_to_files() {
    let mut broken = Vec::new();
    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "ARCHITECTURE.md",
        "docs/cli.md",
        "loadtest/README.md",
        "deploy/README.md",
        "deploy/charts/fleetgate/README.md",
        "deploy/charts/fleetgate-crds/README.md",
    ] {
        let path = root().join(document);
        let text = fs::read_to_string(&path).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let local = targets.filter(|target| !target.is_empty() && !target.contains("://"));
        broken.extend(
            local
                .filter(|target| !path.parent().unwrap().join(target).exists())
                .map(|target| format!("{document}: {target}")),
        );
    }
    assert!(broken.is_empty(), "links to nowhere: {broken:?}");
}

#[test]
fn the_metrics_of_the_manual_are_those_of_the_sources() {
    let mut named = BTreeSet::new();
    for folder in SOURCES {
        literals(&root().join(folder), &mut named);
    }
    let documented: BTreeSet<String> =
        manual().split('`').filter(|text| is_metric(text)).map(str::to_owned).collect();
    assert_eq!(documented, named, "left: docs/cli.md, right: the sources");
}

fn is_metric(text: &str) -> bool {
    ["fleetgate_", "process_"].iter().any(|prefix| text.starts_with(prefix))
        && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// Adds the string literals below a folder that are names of metrics.
fn literals(folder: &Path, names: &mut BTreeSet<String>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            literals(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            names.extend(source.split('"').filter(|text| is_metric(text)).map(str::to_owned));
        }
    }
}

fn words(text: &str, part: impl Fn(char) -> bool) -> BTreeSet<String> {
    text.split(|c| !part(c)).map(str::to_owned).collect()
}
