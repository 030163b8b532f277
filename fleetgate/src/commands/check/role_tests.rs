//! The chart's roles grant what is needed, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use ingest::Limits;
use ingest::yaml::{compose, split};

use super::rights::{Right, needed};

/// Namespace (empty for all), group, resource, name (empty for all), verb.
type Grant = (String, String, String, String, String);

/// What the rendered chart grants; `xtask/tests/helm.rs` compares it with what helm makes of the chart.
fn granted(set: &str) -> BTreeSet<Grant> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../deploy/tests/{set}.golden.yaml"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut grants = BTreeSet::new();
    for chunk in split(&text) {
        let object = compose(chunk.text, &Limits::default()).unwrap();
        let namespace = match object["kind"].as_str() {
            Some("ClusterRole") => "",
            Some("Role") => object["metadata"]["namespace"].as_str().unwrap(),
            _ => continue,
        };
        for rule in object["rules"].as_array().unwrap() {
            let words = |field: &str| -> Vec<String> {
                let words = rule[field].as_array().unwrap().iter();
                words.map(|word| word.as_str().unwrap().to_owned()).collect()
            };
            let names = match rule.get("resourceNames") {
                Some(_) => words("resourceNames"),
                None => vec![String::new()],
            };
            let known = 3 + usize::from(rule.get("resourceNames").is_some());
            assert_eq!(rule.as_object().map(|rule| rule.len()), Some(known), "{rule}");
            for (group, resource) in pairs(&words("apiGroups"), &words("resources")) {
                for (name, verb) in pairs(&names, &words("verbs")) {
                    grants.insert((namespace.to_owned(), group.clone(), resource.clone(), name, verb));
                }
            }
        }
    }
    grants
}

fn pairs(left: &[String], right: &[String]) -> Vec<(String, String)> {
    left.iter().flat_map(|one| right.iter().map(|other| (one.clone(), other.clone()))).collect()
}

fn the_roles_grant_what_is_needed_and_no_more(set: &str, watched: &[&str]) {
    let watched: Vec<String> = watched.iter().map(|name| (*name).to_owned()).collect();
    let needed: BTreeSet<Grant> = needed("infra", &watched, "fleetgate")
        .into_iter()
        .map(|right| {
            let Right { namespace, group, resource, name, verb } = right;
            (namespace.unwrap_or_default(), group, resource, name.unwrap_or_default(), verb.to_owned())
        })
        .collect();
    let granted = granted(set);
    let missing: Vec<_> = needed.difference(&granted).collect();
    let idle: Vec<_> = granted.difference(&needed).collect();
    assert!(missing.is_empty(), "the chart does not grant {missing:#?}");
    assert!(idle.is_empty(), "nobody needs {idle:#?}");
}

#[test]
fn in_all_namespaces() {
    the_roles_grant_what_is_needed_and_no_more("default", &[]);
}

#[test]
fn in_some_namespaces_only() {
    the_roles_grant_what_is_needed_and_no_more("namespaces", &["team-a", "team-b"]);
    let everywhere = granted("namespaces").into_iter().filter(|(namespace, ..)| namespace.is_empty());
    let writes = everywhere.filter(|(.., verb)| !["get", "list", "watch"].contains(&verb.as_str()));
    let written: BTreeSet<(String, String)> =
        writes.map(|(_, _, resource, _, verb)| (resource, verb)).collect();
    // Its finalizer, and its status.
    let classes = ["gatewayclasses", "gatewayclasses/status"];
    assert_eq!(written, classes.map(|resource| (resource.to_owned(), "patch".to_owned())).into());
}
