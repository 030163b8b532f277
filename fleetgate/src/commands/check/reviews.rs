//! Asks the API server who may do what.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::Client;
use kube::api::{Api, PostParams};

use super::finding::Finding;
use super::rights::Right;

/// Reviews at a time.
const AT_A_TIME: usize = 16;

/// Whose rights.
pub(super) enum Subject {
    /// Of who asks.
    Oneself,
    /// Of a ServiceAccount.
    ServiceAccount { namespace: String, name: String },
}

/// One finding for each resource.
pub(super) async fn check(
    client: &Client,
    subject: &Subject,
    rights: impl IntoIterator<Item = Right>,
) -> Vec<Finding> {
    let ask = async |right: Right| {
        let answer = review(client, subject, &right).await.map_err(|error| error.to_string());
        (right, answer)
    };
    let answers: Vec<_> = stream::iter(rights).map(ask).buffered(AT_A_TIME).collect().await;
    judge(answers, subject)
}

async fn review(client: &Client, subject: &Subject, right: &Right) -> kube::Result<bool> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource.as_str(), None),
    };
    let resource_attributes = Some(ResourceAttributes {
        namespace: right.namespace.clone(),
        group: Some(right.group.clone()),
        resource: Some(resource.to_owned()),
        subresource,
        name: right.name.clone(),
        verb: Some(right.verb.to_owned()),
        ..ResourceAttributes::default()
    });
    let status: Option<SubjectAccessReviewStatus> = match subject {
        Subject::Oneself => {
            let spec = SelfSubjectAccessReviewSpec { resource_attributes, ..Default::default() };
            let review = SelfSubjectAccessReview { spec, ..Default::default() };
            Api::all(client.clone()).create(&PostParams::default(), &review).await?.status
        }
        Subject::ServiceAccount { namespace, name } => {
            let groups = [
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ];
            let spec = SubjectAccessReviewSpec {
                resource_attributes,
                user: Some(format!("system:serviceaccount:{namespace}:{name}")),
                groups: Some(groups.into()),
                ..Default::default()
            };
            let review = SubjectAccessReview { spec, ..Default::default() };
            Api::all(client.clone()).create(&PostParams::default(), &review).await?.status
        }
    };
    Ok(status.is_some_and(|status| status.allowed))
}

/// One line for each resource, with the verbs that are missing.
fn judge(answers: Vec<(Right, Result<bool, String>)>, subject: &Subject) -> Vec<Finding> {
    type Verbs = Vec<(&'static str, Result<bool, String>)>;
    type Place = (Option<String>, String, String, Option<String>);
    let mut resources: BTreeMap<Place, Verbs> = BTreeMap::new();
    for (Right { namespace, group, resource, name, verb }, answer) in answers {
        resources.entry((namespace, group, resource, name)).or_default().push((verb, answer));
    }
    let one = |((namespace, group, resource, name), verbs): (Place, Verbs)| {
        let dot = if group.is_empty() { "" } else { "." };
        let (plural, sub) = resource.split_once('/').unwrap_or((&resource, ""));
        let slash = if sub.is_empty() { "" } else { "/" };
        let place = namespace.map_or_else(String::new, |namespace| format!(" in {namespace}"));
        let name = name.map_or_else(String::new, |name| format!(" {name}"));
        let check = format!("rights on {plural}{dot}{group}{slash}{sub}{name}{place}");
        let with = |wanted: bool| {
            let has = verbs.iter().filter(|(_, answer)| *answer == Ok(wanted));
            has.map(|(verb, _)| *verb).collect::<Vec<_>>().join(", ")
        };
        if let Some(problem) = verbs.iter().find_map(|(_, answer)| answer.as_ref().err()) {
            let remedy =
                "ask as somebody who may create SubjectAccessReviews, or leave out --service-account";
            return Finding::warn(check, format!("cannot be asked for: {problem}"), remedy);
        }
        match with(false) {
            missing if missing.is_empty() => Finding::ok(check, with(true)),
            missing => Finding::fail(check, format!("no {missing}"), remedy(subject)),
        }
    };
    resources.into_iter().map(one).collect()
}

fn remedy(subject: &Subject) -> String {
    let role = "the ClusterRole and Role of the chart fleetgate (rbac.create)";
    match subject {
        Subject::Oneself => {
            format!("bind {role}; for the rights of fleetgate instead of yours, use --service-account")
        }
        Subject::ServiceAccount { namespace, name } => format!("bind {role} to {namespace}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Subject, judge};
    use crate::commands::check::finding::State;
    use crate::commands::check::rights::Right;

    fn right(namespace: Option<&str>, resource: &str, verb: &'static str) -> Right {
        let namespace = namespace.map(str::to_owned);
        Right { namespace, group: "g.io".to_owned(), resource: resource.to_owned(), name: None, verb }
    }

    #[test]
    fn a_line_for_each_resource_and_what_is_missing_of_it() {
        let account = Subject::ServiceAccount { namespace: "ns".to_owned(), name: "fg".to_owned() };
        let findings = judge(
            vec![
                (right(None, "gateways", "get"), Ok(true)),
                (right(None, "gateways", "list"), Ok(true)),
                (right(None, "gateways/status", "patch"), Ok(false)),
                (right(Some("ns"), "leases", "get"), Ok(true)),
                (right(Some("ns"), "leases", "update"), Err("away".to_owned())),
            ],
            &account,
        );
        let told: Vec<_> =
            findings.iter().map(|one| (one.check.as_str(), one.state, one.found.as_str())).collect();
        assert_eq!(
            told,
            [
                ("rights on gateways.g.io", State::Ok, "get, list"),
                ("rights on gateways.g.io/status", State::Fail, "no patch"),
                ("rights on leases.g.io in ns", State::Warn, "cannot be asked for: away"),
            ]
        );
        assert!(findings[1].remedy.ends_with("to ns/fg"));
    }
}
