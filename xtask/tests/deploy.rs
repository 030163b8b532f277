//! What `deploy/` says fits together, and fits the workspace. No helm and no docker is needed.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not know as such

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text between two others, the first time they are there.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap_or_else(|| panic!("no {from:?}")) + from.len();
    let end = text[start..].find(to).unwrap_or_else(|| panic!("no {to:?} after {from:?}"));
    &text[start..start + end]
}

/// Paths of all values that have none below them. Reads what values.yaml consists of: a key a line.
fn values() -> BTreeSet<String> {
    let (mut open, mut paths): (Vec<(usize, String)>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
    for line in read("deploy/charts/fleetgate/values.yaml").lines() {
        let content = line.trim_start();
        if content.is_empty() || content.starts_with(['#', '-']) {
            continue;
        }
        let indent = line.len() - content.len();
        open.retain(|(outer, _)| *outer < indent);
        let parent = open.last().map(|(_, path)| path.clone());
        if let Some(parent) = &parent {
            paths.remove(parent);
        }
        let key = content.split(':').next().unwrap();
        let path = parent.map_or_else(|| key.to_owned(), |parent| format!("{parent}.{key}"));
        paths.insert(path.clone());
        open.push((indent, path));
    }
    assert!(paths.len() > 50 && paths.contains("image.tag") && !paths.contains("image"), "{paths:?}");
    paths
}

/// A path and all that it is in.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('.').map(|(parent, _)| parent))
}

#[test]
fn the_table_of_values_has_all_of_them_and_no_others() {
    let manual = read("deploy/charts/fleetgate/README.md");
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<&str> = rows.map(|(path, _)| path).collect();
    let values = values();
    let missing: Vec<_> =
        values.iter().filter(|path| !ancestors(path).any(|part| documented.contains(part))).collect();
    assert!(missing.is_empty(), "the chart's README does not have {missing:?}");
    let known: BTreeSet<&str> = values.iter().flat_map(|path| ancestors(path)).collect();
    let unknown: Vec<_> = documented.difference(&known).collect();
    assert!(unknown.is_empty(), "values.yaml does not have {unknown:?}");
}

#[test]
fn the_schema_has_all_values_and_refuses_others() {
    let schema: Value = serde_json::from_str(&read("deploy/charts/fleetgate/values.schema.json")).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let values = values();
    for path in &values {
        let mut place = &schema;
        for part in path.split('.') {
            let Some(properties) = place.get("properties") else { break };
            place = properties.get(part).unwrap_or_else(|| panic!("the schema does not have {path}"));
        }
    }
    let tops: BTreeSet<&str> = values.iter().filter_map(|path| path.split('.').next()).collect();
    for (name, one) in schema["properties"].as_object().unwrap() {
        assert!(tops.contains(name.as_str()), "values.yaml does not have {name}");
        let closed = one.get("properties").is_none() || one["additionalProperties"] == false;
        assert!(closed || name == "global", "{name} takes anything");
    }
}

#[test]
fn versions_are_the_same_everywhere() {
    let version = between(&read("Cargo.toml"), "[workspace.package]\nversion = \"", "\"").to_owned();
    for chart in ["fleetgate", "fleetgate-crds"] {
        let about = read(&format!("deploy/charts/{chart}/Chart.yaml"));
        assert!(about.contains(&format!("\nversion: {version}\n")), "{chart}: version");
        assert!(about.contains(&format!("\nappVersion: \"{version}\"\n")), "{chart}: appVersion");
    }
    let suite = read("conformance/go.mod");
    let gateway_api = between(&suite, "require sigs.k8s.io/gateway-api/conformance ", "\n");
    let link = format!("gateway-api/releases/download/{gateway_api}/standard-install.yaml");
    for text in [
        "deploy/charts/fleetgate/README.md",
        "deploy/charts/fleetgate-crds/README.md",
        "deploy/charts/fleetgate-crds/templates/NOTES.txt",
    ] {
        assert!(read(text).contains(&link), "{text} is not of the Gateway API {gateway_api}");
    }
    let check = read("fleetgate/src/commands/check/definitions.rs");
    assert_eq!(between(&check, "GATEWAY_API: &str = \"", "\""), gateway_api);
    let tools = read("xtask/src/tools/envoy.rs");
    let envoy = between(&tools, "ENVOY: &str = \"", "\"");
    assert_eq!(between(&read("deploy/Dockerfile.proxy"), "FROM envoyproxy/envoy:v", " "), envoy);
    let told = read("fleetgate/src/commands/version.rs");
    assert!(envoy.starts_with(between(&told, "ENVOY: &str = \"", "\"")), "fleetgate version");
}

#[test]
fn images_are_built_of_what_is_there() {
    let workspace = read("Cargo.toml");
    let members = between(&workspace, "members = [", "]");
    let members: BTreeSet<&str> = members.split(',').map(|member| member.trim().trim_matches('"')).collect();
    let rust = read("rust-toolchain.toml");
    let rust = between(&rust, "channel = \"", "\"").rsplit_once('.').unwrap().0;
    for (file, package, product) in [
        ("deploy/Dockerfile", "fleetgate", "fleetgate"),
        ("deploy/Dockerfile.proxy", "proxy", "libfleetgate_proxy.so"),
    ] {
        let (text, seen) = (read(file), read(&format!("{file}.dockerignore")));
        let seen: BTreeSet<&str> = seen.lines().filter_map(|line| line.strip_prefix('!')).collect();
        for path in &seen {
            assert!(root().join(path).exists(), "{file}.dockerignore: {path} does not exist");
        }
        // Cargo reads them all, whichever it builds.
        let needed = members.iter().chain(&["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"]);
        let hidden: Vec<_> = needed.filter(|path| !seen.contains(*path)).collect();
        assert!(hidden.is_empty(), "{file}.dockerignore hides {hidden:?}");
        for line in text.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from")) {
            let copied = line.split_whitespace().nth(1).unwrap();
            assert!(copied == "." || seen.contains(copied), "{file} copies {copied}");
        }
        assert!(
            members.contains(package) && text.contains(&format!("-p {package} ")),
            "{file}: -p {package}"
        );
        let name = format!("name = \"{}\"", product.trim_start_matches("lib").trim_end_matches(".so"));
        assert!(read(&format!("{package}/Cargo.toml")).contains(&name), "{package} does not build {product}");
        assert!(text.contains(&format!("target/release/{product} /{product}")), "{file}: {product}");
        let builds = text.contains(&format!("FROM rust:{rust}-")) || text.contains("sh.rustup.rs");
        assert!(builds, "{file} builds with another Rust than {rust}");
        assert!(text.contains("\nUSER 10101:10101\n"), "{file} runs as root");
    }
}

#[test]
fn rights_are_granted_on_what_is_deployed() {
    // Plurals are the last words of the rows.
    let plurals = |file: &str, from: &str, to: &str| -> BTreeSet<String> {
        let text = read(file);
        let rows = between(&text, from, to).split(')').filter_map(|row| row.rsplit('"').nth(1));
        let plurals: BTreeSet<String> = rows.map(str::to_owned).collect();
        assert!(plurals.len() > 3, "{file}: {plurals:?}");
        plurals
    };
    assert_eq!(
        plurals("fleetgate/src/commands/check/rights.rs", "const DEPLOYED", "];"),
        plurals("fleetgate/src/kubernetes/proxies/owned.rs", "fn api(self)", "};"),
        "left: what is granted, right: what is deployed"
    );
}
