//! What must be so before a cluster is ready, asked of its API server.

use std::process::Stdio;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;
use tokio::process::Command;

use super::NODE;
use crate::bed::{ClusterDir, Plan};

async fn client(dir: &ClusterDir) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(dir.kubeconfig())?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// The API server answers, and has made what it starts with.
pub(super) async fn api_server(dir: &ClusterDir) -> bool {
    let Ok(client) = client(dir).await else { return false };
    let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else { return false };
    client.request_text(request).await.is_ok_and(|text| text == "ok")
}

pub(super) async fn service_account(dir: &ClusterDir) -> bool {
    let Ok(client) = client(dir).await else { return false };
    Api::<ServiceAccount>::namespaced(client, "default").get("default").await.is_ok()
}

pub(super) async fn node(dir: &ClusterDir) -> bool {
    let Ok(client) = client(dir).await else { return false };
    let node = Api::<Node>::all(client).get(NODE).await;
    let conditions = node.ok().and_then(|node| node.status).and_then(|status| status.conditions);
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

/// The node is scheduler, kubelet, proxy and load balancer in one: more than the Node authoriser allows a kubelet.
pub(super) async fn grant_node(dir: &ClusterDir) -> anyhow::Result<()> {
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "testbed-node"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": format!("system:node:{NODE}")}],
    }))?;
    Api::<ClusterRoleBinding>::all(client(dir).await?).create(&PostParams::default(), &binding).await?;
    Ok(())
}

/// The definitions of the Gateway API.
pub(super) async fn definitions(dir: &ClusterDir, plan: &Plan) -> anyhow::Result<()> {
    let folder = plan.definitions.join(&plan.channel);
    let kubectl = plan.tools.join("bin/kubectl");
    let applied = Command::new(&kubectl)
        .args(["apply", "--server-side", "-f"])
        .arg(&folder)
        .env("KUBECONFIG", dir.kubeconfig())
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot run {}: run `cargo xtask tools`", kubectl.display()))?;
    let said = String::from_utf8_lossy(&applied.stderr);
    ensure!(
        applied.status.success(),
        "the Gateway API's definitions in {} are refused: {said}",
        folder.display()
    );
    Ok(())
}
