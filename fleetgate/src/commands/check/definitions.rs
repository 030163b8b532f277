//! The definitions (CRDs) of the kinds that are read.

use std::collections::{BTreeMap, BTreeSet};

use ingest::kubernetes::kinds;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Api;
use kube::{Client, ResourceExt};

use super::finding::Finding;

/// The Gateway API that fleetgate is made for.
pub(in crate::commands) const GATEWAY_API: &str = "v1.7.0";
const GROUP: &str = "gateway.networking.k8s.io";
/// Without these there are no Gateways.
const NEEDED: [&str; 3] = ["gatewayclasses", "gateways", "httproutes"];
/// The group of fleetgate's own.
const OWN: &str = "gateway.gloo.solo.io";

/// What the server has of a kind.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub(super) group: String,
    pub(super) plural: &'static str,
    /// The versions that fleetgate reads, newest first.
    pub(super) read: &'static [&'static str],
    /// Those that the server serves, or why that is not known.
    pub(super) served: Result<Vec<String>, String>,
    /// Annotations of the definition, or why they are not known.
    annotations: Result<BTreeMap<String, String>, String>,
}

impl Definition {
    /// `plural.group`.
    fn name(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// The newest version that both sides know.
    pub(super) fn version(&self) -> Option<&'static str> {
        let served = self.served.as_ref().ok()?;
        self.read.iter().find(|read| served.iter().any(|served| served == *read)).copied()
    }
}

/// Kinds that are not Kubernetes' own: group, plural, versions.
fn defined() -> Vec<(String, &'static str, &'static [&'static str])> {
    let mut all: Vec<_> =
        kinds().map(|kind| (kind.kind.group().to_owned(), kind.plural, kind.versions)).collect();
    all.retain(|(group, ..)| group == GROUP || group == OWN);
    all
}

/// Asks the server for all of them.
pub(super) async fn ask(client: &Client) -> Vec<Definition> {
    let mut served: BTreeMap<String, Result<Vec<(String, String)>, String>> = BTreeMap::new();
    for group in defined().into_iter().map(|(group, ..)| group).collect::<BTreeSet<_>>() {
        let found = resources(client, &group).await.map_err(|error| error.to_string());
        served.insert(group, found);
    }
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut definitions = Vec::new();
    for (group, plural, read) in defined() {
        let annotations = match api.get_metadata_opt(&format!("{plural}.{group}")).await {
            Ok(found) => Ok(found.map(|found| found.annotations().clone()).unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        };
        let served = match served.get(&group) {
            Some(Ok(all)) => Ok(all
                .iter()
                .filter(|(_, found)| found == plural)
                .map(|(version, _)| version.clone())
                .collect()),
            Some(Err(problem)) => Err(problem.clone()),
            None => Ok(Vec::new()),
        };
        definitions.push(Definition { group, plural, read, served, annotations });
    }
    definitions
}

/// Versions and names of all resources of a group.
async fn resources(client: &Client, group: &str) -> kube::Result<Vec<(String, String)>> {
    let groups = client.list_api_groups().await?.groups;
    let mut all = Vec::new();
    for version in groups.into_iter().filter(|found| found.name == group).flat_map(|found| found.versions) {
        let list = client.list_api_group_resources(&version.group_version).await?;
        all.extend(list.resources.into_iter().map(|resource| (version.version.clone(), resource.name)));
    }
    Ok(all)
}

/// What to make of it.
pub(super) fn judge(definition: &Definition) -> Finding {
    let name = definition.name();
    let served = match &definition.served {
        Ok(served) => served,
        Err(problem) => {
            return Finding::fail(name, format!("cannot be looked for: {problem}"), "grant reading of /apis");
        }
    };
    let is_needed = definition.group == GROUP && NEEDED.contains(&definition.plural);
    if served.is_empty() {
        let found = "not installed";
        return match is_needed {
            true => Finding::fail(name, found, install(&definition.group)),
            false => Finding::warn(name, found, install(&definition.group)),
        };
    }
    let Some(version) = definition.version() else {
        let found = format!("served as {}, read is {}", served.join(", "), definition.read.join(" or "));
        return Finding::fail(name, found, install(&definition.group));
    };
    if definition.group == GROUP { bundle(definition, version) } else { Finding::ok(name, version) }
}

/// Of which bundle of the Gateway API it is.
fn bundle(definition: &Definition, version: &str) -> Finding {
    let name = definition.name();
    let annotations = match &definition.annotations {
        Ok(annotations) => annotations,
        Err(problem) => {
            let found = format!("{version}, of an unknown bundle: {problem}");
            return Finding::warn(name, found, "run this as somebody who may read CustomResourceDefinitions");
        }
    };
    let of = |what: &str| annotations.get(&format!("{GROUP}/{what}")).map(String::as_str);
    let Some(found) = of("bundle-version") else {
        let remedy = install(&definition.group);
        return Finding::warn(name, format!("{version}, of no bundle of the Gateway API"), remedy);
    };
    let text = format!("{version} of bundle {found} ({})", of("channel").unwrap_or("no channel"));
    if minor(found) == minor(GATEWAY_API) {
        Finding::ok(name, text)
    } else {
        let remedy = format!("fleetgate is made for {GATEWAY_API}: {}", install(&definition.group));
        Finding::warn(name, text, remedy)
    }
}

/// `v1.7` of `v1.7.0`.
fn minor(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(minor, _)| minor)
}

fn install(group: &str) -> String {
    if group == GROUP {
        format!(
            "kubectl apply --server-side -f \
             https://github.com/kubernetes-sigs/gateway-api/releases/download/{GATEWAY_API}/standard-install.yaml"
        )
    } else {
        "helm upgrade --install fleetgate-crds deploy/charts/fleetgate-crds".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Definition, GROUP, OWN, defined, judge};
    use crate::commands::check::finding::{Finding, State};

    const PARAMETERS: &str = "gatewayparameters";

    fn finding(plural: &'static str, served: &[&str], bundle: Option<&str>) -> Finding {
        let group = if plural == PARAMETERS { OWN } else { GROUP };
        let annotations = bundle.map(|bundle| {
            let pairs = [("bundle-version", bundle), ("channel", "standard")];
            pairs.map(|(what, text)| (format!("{GROUP}/{what}"), text.to_owned())).into()
        });
        judge(&Definition {
            group: group.to_owned(),
            plural,
            read: if plural == PARAMETERS { &["v1alpha1"] } else { &["v1", "v1beta1"] },
            served: Ok(served.iter().map(|&version| version.to_owned()).collect()),
            annotations: Ok(annotations.unwrap_or_default()),
        })
    }

    #[test]
    fn what_is_read_and_of_the_right_bundle_is_well() {
        let good = finding("gateways", &["v1beta1", "v1"], Some("v1.7.2"));
        assert_eq!((good.state, good.found.as_str()), (State::Ok, "v1 of bundle v1.7.2 (standard)"));
        assert_eq!(finding(PARAMETERS, &["v1alpha1"], None).state, State::Ok);
    }

    #[test]
    fn what_is_missing_fails_if_nothing_works_without_it() {
        assert_eq!(finding("httproutes", &[], None).state, State::Fail);
        let missing = finding("backendtlspolicies", &[], None);
        assert_eq!(missing.state, State::Warn);
        assert!(missing.remedy.contains("v1.7.0/standard-install.yaml"), "{missing:?}");
        let own = finding(PARAMETERS, &[], None);
        assert!(own.state == State::Warn && own.remedy.contains("fleetgate-crds"), "{own:?}");
    }

    #[test]
    fn versions_and_bundles_of_another_age_are_told() {
        let old = finding("gateways", &["v1alpha2"], Some("v0.5.0"));
        assert_eq!(old.state, State::Fail);
        assert!(old.found.contains("v1alpha2") && old.found.contains("v1 or v1beta1"), "{old:?}");
        for other in [Some("v1.6.1"), Some("v1.8.0-rc.1"), None] {
            assert_eq!(finding("gateways", &["v1"], other).state, State::Warn, "{other:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let unknown = Definition {
            group: GROUP.to_owned(),
            plural: "gateways",
            read: &["v1"],
            served: Ok(vec!["v1".to_owned()]),
            annotations: Err("forbidden".to_owned()),
        };
        assert_eq!(judge(&unknown).state, State::Warn);
        assert_eq!(judge(&Definition { served: Err("away".to_owned()), ..unknown }).state, State::Fail);
    }

    #[test]
    fn all_kinds_of_the_gateway_api_are_looked_at() {
        let all = defined();
        let has = |plural: &str| all.iter().filter(|(_, found, _)| *found == plural).count() == 1;
        assert!(["gatewayclasses", "referencegrants", PARAMETERS].into_iter().all(has), "{all:?}");
    }
}
