//! The rights that fleetgate needs: what the chart's ClusterRole and Role grant, no more and no less.

use std::collections::BTreeSet;

use ingest::kubernetes::kinds;

/// Objects are read by lists and watches alone.
const READ: &[&str] = &["list", "watch"];
/// Proxies are looked at, applied, which takes two verbs, and deleted when they are not wanted any more.
const DEPLOY: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// What is deployed for a Gateway, in its namespace.
const DEPLOYED: [(&str, &str); 7] = [
    ("", "configmaps"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("apps", "deployments"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("policy", "poddisruptionbudgets"),
];

/// In fleetgate's own namespace: its authority is made if it is missing, and one replica leads.
const OWN: [(&str, &str, &[&str]); 2] = [
    ("", "secrets", &["create"]),
    ("coordination.k8s.io", "leases", &["get", "list", "watch", "create", "update", "patch", "delete"]),
];

/// A verb on a resource, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    /// None: in all.
    pub(super) namespace: Option<String>,
    pub(super) group: String,
    /// `plural` or `plural/subresource`.
    pub(super) resource: String,
    pub(super) verb: &'static str,
}

/// All that fleetgate in this namespace needs.
pub(super) fn needed(namespace: &str) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    let mut add = |namespace: Option<&str>, group: &str, resource: &str, verbs: &[&'static str]| {
        rights.extend(verbs.iter().map(|verb| Right {
            namespace: namespace.map(str::to_owned),
            group: group.to_owned(),
            resource: resource.to_owned(),
            verb,
        }));
    };
    for kind in kinds() {
        let (group, plural, has_status) = (kind.kind.group().to_owned(), kind.plural, kind.has_status);
        add(None, &group, plural, READ);
        if has_status {
            add(None, &group, &format!("{plural}/status"), &["patch"]);
        }
    }
    for (group, plural) in DEPLOYED {
        add(None, group, plural, DEPLOY);
    }
    for (group, plural, verbs) in OWN {
        add(Some(namespace), group, plural, verbs);
    }
    rights
}
