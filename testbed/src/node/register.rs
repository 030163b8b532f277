//! The Node object and its Lease.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::context::Context;

const LEASE_SECONDS: i32 = 40;
/// How often the Lease is renewed, and how many renewals lie between two of the Node's status.
const RENEWAL: Duration = Duration::from_secs(10);
const RENEWALS_PER_STATUS: u32 = 6;

/// Makes or takes over the Node object and makes it Ready.
///
/// # Errors
/// The API server did not answer within a minute, or refused.
pub(super) async fn register(cx: &Context, port: u16) -> anyhow::Result<()> {
    let mut last = None;
    for _ in 0..60 {
        match try_register(cx, port).await {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err(last.context("invariant: it was tried")?)
        .with_context(|| format!("node {} can't be registered", cx.args.name))
}

async fn try_register(cx: &Context, port: u16) -> anyhow::Result<()> {
    let nodes = Api::<Node>::all(cx.client.clone());
    let node: Node = serde_json::from_value(json!({
        "metadata": { "name": cx.args.name, "labels": labels(&cx.args.name) },
        "spec": { "podCIDR": cx.args.pod_cidr.to_string(), "podCIDRs": [cx.args.pod_cidr.to_string()] },
    }))?;
    match nodes.create(&PostParams::default(), &node).await {
        Err(kube::Error::Api(error)) if error.code == 409 => {}
        other => drop(other?),
    }
    write_status(cx, port).await?;
    write_lease(cx).await
}

/// Renews the Lease, and now and then the status, until it is dropped.
pub(super) async fn renew(cx: Arc<Context>, port: u16) {
    for round in 1_u32.. {
        tokio::time::sleep(RENEWAL).await;
        if let Err(error) = write_lease(&cx).await {
            tracing::debug!("the node's lease was not renewed: {error}");
        }
        if round % RENEWALS_PER_STATUS == 1
            && let Err(error) = write_status(&cx, port).await
        {
            tracing::debug!("the node's status was not written: {error}");
        }
    }
}

/// Writes the status, and removes taints and the unschedulable mark that a node's absence left.
async fn write_status(cx: &Context, port: u16) -> anyhow::Result<()> {
    let nodes = Api::<Node>::all(cx.client.clone());
    let old = nodes.get(&cx.args.name).await?;
    let conditions = old.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let since = conditions
        .iter()
        .find(|c| c.type_ == "Ready" && c.status == "True")
        .and_then(|c| c.last_transition_time.clone())
        .map_or_else(|| Timestamp::now().to_string(), |time| time.0.to_string());
    let status = json!({ "status": status(cx, port, &since) });
    nodes.patch_status(&cx.args.name, &PatchParams::default(), &Patch::Strategic(status)).await?;
    let taints = old.spec.and_then(|spec| spec.taints).unwrap_or_default();
    let kept: Vec<_> = taints.iter().filter(|t| !t.key.starts_with("node.kubernetes.io/")).collect();
    if kept.len() != taints.len() {
        let patch = json!({ "spec": { "taints": kept } });
        nodes.patch(&cx.args.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    Ok(())
}

async fn write_lease(cx: &Context) -> anyhow::Result<()> {
    let leases = Api::<Lease>::namespaced(cx.client.clone(), "kube-node-lease");
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": cx.args.name },
        "spec": {
            "holderIdentity": cx.args.name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": format!("{:.6}", Timestamp::now()),
        },
    });
    leases.patch(&cx.args.name, &PatchParams::apply("testbed-node").force(), &Patch::Apply(lease)).await?;
    Ok(())
}

fn labels(name: &str) -> Value {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "node.kubernetes.io/instance-type": "testbed",
    })
}

fn status(cx: &Context, port: u16, ready_since: &str) -> Value {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    // More than there is: requests are promises, and nothing here holds processes to them.
    let capacity = json!({ "cpu": (cpus * 100).to_string(), "memory": "1Ti", "pods": "1000", "ephemeral-storage": "1Ti" });
    let now = Timestamp::now().to_string();
    let condition = |kind: &str, status: &str, reason: &str, since: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": "",
            "lastHeartbeatTime": now, "lastTransitionTime": since,
        })
    };
    json!({
        "capacity": capacity,
        "allocatable": capacity,
        "addresses": [
            { "type": "InternalIP", "address": cx.address.to_string() },
            { "type": "Hostname", "address": cx.args.name },
        ],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
        "conditions": [
            condition("Ready", "True", "NodeRuns", ready_since),
            condition("MemoryPressure", "False", "Enough", ready_since),
            condition("DiskPressure", "False", "Enough", ready_since),
            condition("PIDPressure", "False", "Enough", ready_since),
        ],
        // `exec` and `port-forward` come as the WebSockets that clients open (see `streams`).
        "declaredFeatures": ["ExtendWebSocketsToKubelet"],
        "nodeInfo": {
            "machineID": "", "systemUUID": "", "bootID": "", "osImage": "testbed", "operatingSystem": "linux",
            "architecture": labels("")["kubernetes.io/arch"],
            "kernelVersion": std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
            "containerRuntimeVersion": concat!("testbed://", env!("CARGO_PKG_VERSION")),
            "kubeletVersion": "v1.37.2", "kubeProxyVersion": "",
        },
    })
}
