//! A pod of the control plane, reached by port-forward: its admin endpoint is on the pod's loopback interface.

use std::fmt;

use anyhow::{Context, anyhow};
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, ListParams};
use kube::client::UpgradeConnectionError;
use kube::{Client, ResourceExt};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::args::Server;
use crate::kubernetes::configuration;

/// What the chart says of its pods, whatever they are called.
const LABELS: &str = "app.kubernetes.io/part-of=fleetgate,app.kubernetes.io/component=control-plane";

/// One that runs.
pub(crate) struct Pod {
    pods: Api<core::Pod>,
    namespace: String,
    name: String,
    /// Of its admin endpoint.
    port: u16,
}

/// `pod fleetgate-system/fleetgate-5d8c7b9f4-x2x7k`
impl fmt::Display for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}/{}", self.namespace, self.name)
    }
}

impl Pod {
    /// The one that is named; else the oldest that is ready, so that the same one is asked again.
    ///
    /// # Errors
    /// If the API server does not answer or refuses, or there is none.
    pub(super) async fn find(server: &Server) -> anyhow::Result<Pod> {
        let config = configuration(server.kubeconfig.as_deref(), server.context.as_deref()).await?;
        let url = config.cluster_url.clone();
        let pods = Api::namespaced(Client::try_from(config)?, &server.namespace);
        let name = match &server.pod {
            Some(name) => name.clone(),
            None => oldest_ready(&pods, &server.namespace, &url.to_string()).await?,
        };
        Ok(Pod { pods, namespace: server.namespace.clone(), name, port: server.admin.port() })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where it serves its admin endpoint.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// A connection to its admin endpoint, and what becomes of it if it fails.
    ///
    /// # Errors
    /// If the API server does not make one.
    pub(super) async fn connect(
        &self,
    ) -> anyhow::Result<(
        impl AsyncRead + AsyncWrite + Unpin + Send + use<>,
        impl Future<Output = Option<String>> + use<>,
    )> {
        let mut forward =
            self.pods.portforward(&self.name, &[self.port]).await.map_err(|error| self.refused(error))?;
        let gone = || anyhow!("{self}: the API server forwards no port");
        let stream = forward.take_stream(self.port).with_context(gone)?;
        Ok((stream, forward.take_error(self.port).with_context(gone)?))
    }

    fn refused(&self, error: kube::Error) -> anyhow::Error {
        let remedy = match &error {
            kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) => {
                match status.as_u16() {
                    401 | 403 => "it takes the rights to get and create pods/portforward there",
                    404 => "there is no such pod: leave --pod out, or correct it or --namespace",
                    _ => "see whether `kubectl port-forward` works with it",
                }
            }
            _ => "see whether `kubectl port-forward` works with it",
        };
        anyhow!("no port-forward to {self}: {remedy} ({error})")
    }
}

async fn oldest_ready(pods: &Api<core::Pod>, namespace: &str, server: &str) -> anyhow::Result<String> {
    let found = pods.list(&ListParams::default().labels(LABELS)).await.with_context(|| {
        format!(
            "cannot list pods in namespace {namespace} at {server}: it takes the right to list pods there, or \
             the name of one in --pod"
        )
    })?;
    best(&found.items).ok_or_else(|| {
        let not_running = match found.items.len() {
            0 => "no pod",
            _ => "no running pod",
        };
        anyhow!(
            "{not_running} of fleetgate in namespace {namespace} (labels {LABELS}): name the namespace that it \
             is in with --namespace, or the pod with --pod"
        )
    })
}

/// Name of the oldest that is ready, or else runs.
fn best(pods: &[core::Pod]) -> Option<String> {
    let running = pods.iter().filter(|pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
    });
    let order = |pod: &&core::Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref());
        let ready =
            conditions.unwrap_or_default().iter().any(|one| one.type_ == "Ready" && one.status == "True");
        (!ready, pod.metadata.creation_timestamp.clone(), pod.name_any())
    };
    running.min_by_key(order).map(ResourceExt::name_any)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::best;

    #[test]
    fn the_oldest_that_is_ready_is_asked() {
        let pod = |name: &str, created: u32, phase: &str, ready: &str| {
            json!({
                "metadata": {"name": name, "creationTimestamp": format!("2026-01-01T00:00:{created:02}Z")},
                "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
            })
        };
        let best =
            |pods: Vec<serde_json::Value>| best(&serde_json::from_value::<Vec<_>>(pods.into()).unwrap());
        let (old, young) = (pod("old", 1, "Running", "True"), pod("young", 2, "Running", "True"));
        let mut ending = pod("ending", 0, "Running", "True");
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:03Z".into();
        let not_ready = pod("not-ready", 0, "Running", "False");
        assert_eq!(best(vec![young.clone(), old, ending, not_ready.clone()]).as_deref(), Some("old"));
        assert_eq!(best(vec![young, not_ready.clone()]).as_deref(), Some("young"));
        assert_eq!(best(vec![not_ready, pod("new", 3, "Pending", "False")]).as_deref(), Some("not-ready"));
        assert_eq!(best(vec![pod("new", 3, "Pending", "False")]), None);
    }
}
