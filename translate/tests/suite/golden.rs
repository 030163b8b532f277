//! A case is a file: `testdata/golden/<area>/<case>.yaml` and `<case>.golden.json` with the resources and
//! statuses that come of it. A comment `# show: …` in the first line names the kinds of resources to show
//! (`virtual_hosts`, `listeners`, `clusters`, `endpoints`, `secrets`, `route_tables`; default
//! `virtual_hosts`); a comment `# placement: pods` places the proxies in pods. Statuses are always shown. `_defaults.yaml` is put before every case.
//! `UPDATE_GOLDEN=1` rewrites the goldens and deletes those without a case.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proto::json::Printer;
use proto::{RouteSet, Routing, XdsKind};
use serde_json::{Map, Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden")
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn shown(text: &str) -> BTreeSet<String> {
    let first = text.lines().next().unwrap_or_default();
    let list = first.strip_prefix("# show:").unwrap_or("virtual_hosts");
    list.split(',').map(|word| word.trim().to_owned()).collect()
}

fn word(kind: XdsKind) -> &'static str {
    match kind {
        XdsKind::Cluster => "clusters",
        XdsKind::Endpoints => "endpoints",
        XdsKind::Listener => "listeners",
        XdsKind::ScopedListener => "scoped_listeners",
        XdsKind::Routes => "virtual_hosts",
        XdsKind::RouteTable => "route_tables",
        XdsKind::VirtualHost => "virtual_hosts",
        XdsKind::Secret => "secrets",
    }
}

/// A set of routes with what decides their places.
fn routes(set: &RouteSet, printer: &Printer) -> Value {
    let entries = set.entries.iter().map(|entry| {
        let mut route = printer.to_json("envoy.config.route.v3.Route", &entry.body).unwrap();
        route["(order)"] = json!(format!("{:x}", entry.order));
        route["(path)"] = json!(entry.path.as_deref());
        route
    });
    json!({"specificity": set.specificity, "created": set.created.as_str(), "routes": entries.collect::<Vec<_>>()})
}

fn render(defaults: &str, case: &str, printer: &Printer) -> String {
    let events = crate::yaml::events(&[defaults, case]);
    let in_pods = case.lines().any(|line| line == "# placement: pods");
    let env = if in_pods { translate::Env::pods() } else { translate::Env::default() };
    let snapshot = translate::translate(events, &env);
    let show = shown(case);
    let mut resources = Map::new();
    for put in snapshot.puts.values().filter(|put| show.contains(word(put.key.kind))) {
        let json = match &put.routing {
            Some(Routing::Routes(set)) => routes(set, printer),
            _ => printer.to_json(put.key.kind.message_name(), &put.body).unwrap(),
        };
        resources.insert(put.key.to_string(), json);
    }
    let statuses: Map<String, Value> = snapshot
        .reports
        .iter()
        .filter(|(key, _)| key.kind != proto::Kind::GATEWAY_CLASS || show.contains("classes"))
        .map(|(key, status)| (key.to_string(), serde_json::to_value(status).unwrap()))
        .collect();
    let mut text =
        serde_json::to_string_pretty(&json!({"resources": resources, "statuses": statuses})).unwrap();
    text.push('\n');
    text
}

#[test]
fn cases_match_their_goldens() {
    let defaults = fs::read_to_string(root().join("_defaults.yaml")).unwrap();
    let printer = Printer::new().unwrap();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut all = Vec::new();
    files(&root(), &mut all);
    let is_case =
        |path: &&PathBuf| path.extension().is_some_and(|e| e == "yaml") && !path.ends_with("_defaults.yaml");
    let cases: Vec<&PathBuf> = all.iter().filter(is_case).collect();
    assert!(cases.len() > 20, "the cases are not where they should be");
    let mut wrong = Vec::new();
    for case in &cases {
        let actual = render(&defaults, &fs::read_to_string(case).unwrap(), &printer);
        let golden = case.with_extension("golden.json");
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if actual != expected {
            if update {
                fs::write(&golden, actual).unwrap();
            } else {
                let line = actual.lines().zip(expected.lines()).position(|(a, b)| a != b);
                wrong.push(format!(
                    "{} (first difference in line {:?})",
                    golden.display(),
                    line.map(|l| l + 1)
                ));
            }
        }
    }
    for path in all.iter().filter(|path| path.to_string_lossy().ends_with(".golden.json")) {
        let case = PathBuf::from(path.to_string_lossy().replace(".golden.json", ".yaml"));
        if !case.exists() {
            if update {
                fs::remove_file(path).unwrap();
            } else {
                wrong.push(format!("{} has no case", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "run with UPDATE_GOLDEN=1 and read the difference:\n{}", wrong.join("\n"));
}
