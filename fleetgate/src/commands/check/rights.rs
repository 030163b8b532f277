//! The rights that fleetgate needs: what the chart's ClusterRole and Role grant, no more and no less.

use std::collections::BTreeSet;

use ingest::kubernetes::kinds;
use proto::Kind;

use crate::pki::AUTHORITY;

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

/// Told of objects that change state.
const EVENTS: (&str, &str) = ("events.k8s.io", "events");

/// In fleetgate's own namespace: its authority is read, and made if it is missing; one replica leads, and says so; Leases
/// go with their Deployment and pods.
const OWN: [(&str, &str, Option<&str>, &[&str]); 6] = [
    ("", "secrets", Some(AUTHORITY), &["get", "list", "watch"]),
    ("", "secrets", None, &["create"]),
    ("", "pods", None, &["get"]),
    ("apps", "deployments", None, &["get"]),
    ("coordination.k8s.io", "leases", None, &["get", "list", "watch", "create", "update", "patch", "delete"]),
    (EVENTS.0, EVENTS.1, None, &["create"]),
];

/// A verb on a resource, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    /// None: in all.
    pub(super) namespace: Option<String>,
    pub(super) group: String,
    /// `plural` or `plural/subresource`.
    pub(super) resource: String,
    /// None: all of them.
    pub(super) name: Option<String>,
    pub(super) verb: &'static str,
}

/// All that fleetgate in this namespace needs to watch these namespaces; all of them if none is named. Its replicas lead
/// by a Lease of this name.
pub(super) fn needed(namespace: &str, watched: &[String], lease: &str) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    let mut add =
        |place: Option<&str>, group: &str, resource: &str, name: Option<&str>, verbs: &[&'static str]| {
            rights.extend(verbs.iter().map(|verb| Right {
                namespace: place.map(str::to_owned),
                group: group.to_owned(),
                resource: resource.to_owned(),
                name: name.map(str::to_owned),
                verb,
            }));
        };
    let in_all = watched.is_empty().then_some(None);
    let places: Vec<Option<&str>> =
        in_all.into_iter().chain(watched.iter().map(|name| Some(name.as_str()))).collect();
    for kind in kinds() {
        let (group, plural) = (kind.kind.group(), kind.plural);
        if kind.kind == Kind::NAMESPACE {
            // Each is itself.
            places.iter().for_each(|name| add(None, group, plural, *name, READ));
            continue;
        }
        let places = if kind.kind.is_cluster_scoped() { &[None][..] } else { &places };
        for place in places {
            add(*place, group, plural, kind.only, READ);
            if kind.has_status {
                add(*place, group, &format!("{plural}/status"), None, &["patch"]);
            }
        }
    }
    for place in places {
        for (group, plural) in DEPLOYED {
            add(place, group, plural, None, DEPLOY);
        }
        add(place, EVENTS.0, EVENTS.1, None, &["create", "patch"]);
    }
    for (group, plural, name, verbs) in OWN {
        add(Some(namespace), group, plural, name, verbs);
    }
    // The finalizer of classes that are in use.
    add(None, "gateway.networking.k8s.io", "gatewayclasses", None, &["patch"]);
    // Whether another installation has the same controllerName.
    add(None, "coordination.k8s.io", "leases", Some(lease), &["list"]);
    rights
}
