//! etcd, kube-apiserver and kube-controller-manager of one cluster, and the certificates by which they know each other.

mod flags;
mod programs;
mod ready;

use anyhow::Context;

use crate::bed::{ClusterDir, Plan};
use crate::kubeconfig::kubeconfig;
use crate::pki::{self, Authority};
pub(crate) use programs::Programs;

/// The node's name.
pub(crate) const NODE: &str = "node-1";

/// Starts all programs in order; returns when the cluster can be used.
///
/// # Errors
/// A sentence, with the log to look at, if one of them does not come up.
pub(crate) async fn start(programs: &mut Programs) -> anyhow::Result<()> {
    let (dir, plan) = (programs.dir().clone(), programs.plan().clone());
    certificates(&dir, &plan).context("cannot make the cluster's certificates")?;
    if plan.audit {
        let path = dir.join(flags::AUDIT_POLICY);
        std::fs::write(&path, flags::audit_policy().to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let tools = &plan.tools;
    programs.start("etcd", &tools.join("etcd-3.6.6/etcd"), flags::etcd(&dir))?;
    let kubernetes = tools.join("kubernetes-1.37.2");
    programs.start("kube-apiserver", &kubernetes.join("kube-apiserver"), flags::api_server(&dir, &plan))?;
    programs.until("the API server is ready", || ready::api_server(&dir)).await?;
    let controllers = flags::controller_manager(&dir);
    programs.start("kube-controller-manager", &kubernetes.join("kube-controller-manager"), controllers)?;
    ready::grant_node(&dir).await.context("cannot give the node its rights")?;
    ready::definitions(&dir, &plan).await?;
    programs.until("the default ServiceAccount is there", || ready::service_account(&dir)).await?;
    // Without images there is nothing to run: pods stay pending.
    if plan.images.is_some() {
        let program = std::env::current_exe()?;
        programs.start("node", &program, flags::node(&dir, &plan))?;
        programs.until("the node is ready", || ready::node(&dir)).await?;
    }
    Ok(())
}

fn certificates(dir: &ClusterDir, plan: &Plan) -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let write = |name: &str, text: &str| pki::write_private(&dir.join(name), text);
    write("ca.crt", &authority.certificate())?;
    let server = authority.server(&[&plan.node_address()])?;
    write("apiserver.crt", &server.certificate)?;
    write("apiserver.key", &server.key)?;
    let tokens = pki::token_key()?;
    write("tokens.pub", &tokens.certificate)?;
    write("tokens.key", &tokens.key)?;
    // By which the API server shows itself to the node when somebody asks for logs.
    let kubelet_client = authority.client("kube-apiserver-kubelet-client", Some("system:masters"))?;
    write("kubelet-client.crt", &kubelet_client.certificate)?;
    write("kubelet-client.key", &kubelet_client.key)?;
    let node = format!("system:node:{NODE}");
    for (file, name, group) in [
        ("kubeconfig", "admin", Some("system:masters")),
        ("controller-manager.kubeconfig", "system:kube-controller-manager", None),
        ("node.kubeconfig", node.as_str(), Some("system:nodes")),
    ] {
        let pair = authority.client(name, group)?;
        write(file, &kubeconfig(&plan.name, plan.port, &authority.certificate(), &pair))?;
    }
    Ok(())
}
