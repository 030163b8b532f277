//! The chart's roles grant what is needed, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use ingest::Limits;
use ingest::yaml::{compose, split};

use super::rights::needed;

/// Namespace (empty for all), group, resource, verb.
type Grant = (String, String, String, String);

/// What the rendered chart grants; `xtask/tests/helm.rs` compares it with what helm makes of the chart.
fn granted() -> BTreeSet<Grant> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/tests/default.golden.yaml");
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
            assert_eq!(rule.as_object().map(|rule| rule.len()), Some(3), "{rule}");
            for group in words("apiGroups") {
                for resource in words("resources") {
                    let grant = |verb| (namespace.to_owned(), group.clone(), resource.clone(), verb);
                    grants.extend(words("verbs").into_iter().map(grant));
                }
            }
        }
    }
    grants
}

#[test]
fn the_roles_of_the_chart_grant_what_is_needed_and_no_more() {
    let needed: BTreeSet<Grant> = needed("infra")
        .into_iter()
        .map(|right| {
            (right.namespace.unwrap_or_default(), right.group, right.resource, right.verb.to_owned())
        })
        .collect();
    let granted = granted();
    let missing: Vec<_> = needed.difference(&granted).collect();
    let idle: Vec<_> = granted.difference(&needed).collect();
    assert!(missing.is_empty(), "the chart does not grant {missing:#?}");
    assert!(idle.is_empty(), "nobody needs {idle:#?}");
}
