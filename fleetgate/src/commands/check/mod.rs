//! `fleetgate check`: whether a cluster has what fleetgate needs, and grants it.
//!
//! What is asked of the API server and what is made of the answers are apart: `judge` functions are pure.

mod api_server;
mod class;
mod definitions;
mod finding;
mod reviews;
mod rights;
#[cfg(test)]
mod role_tests;

use kube::Client;

pub(super) use definitions::GATEWAY_API;
use finding::{Finding, State, json, table};
use reviews::Subject;

use super::print;
use crate::args::{Check, Cluster};
use crate::causes::causes;
use crate::kubernetes::connect;
use crate::kubernetes::installation::Installation;

/// True if nothing failed.
pub(super) async fn run(args: Check) -> anyhow::Result<bool> {
    let Check { kubeconfig, context, namespace, watched, controller_name, service_account, output } = args;
    let cluster = Cluster { kubeconfig, context, namespace: namespace.clone(), xds_service: None };
    let name = "fleetgate".to_owned();
    let installation = Installation { namespace, name, controller: controller_name };
    let findings = match connect(&cluster).await {
        Ok((client, _)) => look(&client, &installation, &watched.names(), service_account).await,
        Err(error) => vec![Finding::fail(
            "API server",
            causes(&error),
            "name the cluster with --kubeconfig or --context, and see that `kubectl version` works with it",
        )],
    };
    match output {
        None => print(&table(&findings))?,
        Some(_) => print(&(serde_json::to_string_pretty(&json(&findings))? + "\n"))?,
    }
    Ok(findings.iter().all(|finding| finding.state != State::Fail))
}

async fn look(
    client: &Client,
    installation: &Installation,
    watched: &[String],
    service_account: Option<String>,
) -> Vec<Finding> {
    let mut findings = vec![api_server::check(client).await];
    let definitions = definitions::ask(client).await;
    findings.extend(definitions.iter().map(definitions::judge));
    let subject = match service_account {
        Some(name) => Subject::ServiceAccount { namespace: installation.namespace.clone(), name },
        None => Subject::Oneself,
    };
    let rights = rights::needed(&installation.namespace, watched, &installation.lease());
    findings.extend(reviews::check(client, &subject, rights).await);
    findings.push(class::check(client, &definitions, &installation.controller).await);
    findings
}
