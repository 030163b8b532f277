//! Services that routes lead to, and that have nobody who answers.

use std::collections::BTreeSet;

use proto::{Kind, ResourceKey};
use serde_json::Value;

use super::Hint;
use super::objects::{Objects, list, referred};
use super::parents::named;

pub(super) fn find(objects: &Objects, hints: &mut Vec<(ResourceKey, Hint)>) {
    for (key, route) in objects.routes() {
        let mut told = BTreeSet::new();
        for (field, reference) in references(route) {
            let service = referred(key, reference, "", "Service");
            if service.kind != Kind::SERVICE || objects.is_served(&service) || !told.insert(service.clone()) {
                continue;
            }
            let problem =
                format!("{} has no ready endpoint: its part of the requests fails", named(&service));
            let remedy = "see whether its pods run and are ready, and whether its selector means them";
            hints.push((key.clone(), Hint::new("NoEndpoints", field, problem, remedy)));
        }
    }
}

/// All backends of a route that get requests, and those that get copies of them.
fn references(route: &Value) -> Vec<(String, &Value)> {
    let mut all = Vec::new();
    for (rule_index, rule) in list(&route["spec"]["rules"]).iter().enumerate() {
        let rule_field = format!("spec.rules[{rule_index}]");
        mirrors(&rule_field, rule, &mut all);
        for (index, backend) in list(&rule["backendRefs"]).iter().enumerate() {
            let field = format!("{rule_field}.backendRefs[{index}]");
            mirrors(&field, backend, &mut all);
            if backend["weight"] != 0 {
                all.push((field, backend));
            }
        }
    }
    all
}

fn mirrors<'a>(field: &str, of: &'a Value, all: &mut Vec<(String, &'a Value)>) {
    for (index, filter) in list(&of["filters"]).iter().enumerate() {
        let reference = &filter["requestMirror"]["backendRef"];
        if reference.is_object() {
            all.push((format!("{field}.filters[{index}].requestMirror.backendRef"), reference));
        }
    }
}
