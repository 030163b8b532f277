//! What runs inside a cluster's namespaces: its control plane, its node, and the way in.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::bed::{BRIDGE, ClusterDir, Plan, SERVICES, VIPS};
use crate::control_plane::{self, Programs};
use crate::forward;

/// Runs until SIGTERM, until its supervisor is gone, or until one of its programs ends by itself; then `failure` says
/// which. A program that is killed is started again.
///
/// # Errors
/// If it cannot start; the reason is in `failure`, too.
pub(crate) async fn run(dir: ClusterDir) -> anyhow::Result<ExitCode> {
    let outcome = live(&dir).await;
    if let Err(problem) = &outcome {
        // If even that cannot be written, the log has it.
        let _ = fs::write(dir.join("failure"), format!("{problem:#}\n"));
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn live(dir: &ClusterDir) -> anyhow::Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let plan = dir.plan()?;
    network(&plan).await?;
    let listener = UnixListener::bind(dir.socket()).context("cannot bind the API server's socket")?;
    let mut programs = Programs::new(dir.clone(), plan.clone());
    let forwarding = tokio::spawn(forward::to_port(listener, plan.port));
    let work = async {
        control_plane::start(&mut programs).await?;
        fs::write(dir.ready(), "")?;
        Err(programs.keep_running().await)
    };
    let mut lifeline = tokio::io::stdin();
    let mut nothing = [0];
    let ended = tokio::select! {
        ended = work => ended,
        _ = stop.recv() => Ok(()),
        _ = lifeline.read(&mut nothing) => Ok(()),
    };
    forwarding.abort();
    ended
}

/// Loopback, the bridge, and the addresses of Services of type LoadBalancer, which are local here.
async fn network(plan: &Plan) -> anyhow::Result<()> {
    let bridge_address = format!("{}/16", plan.node_address());
    for line in [
        "link set lo up",
        &format!("link add {BRIDGE} type bridge"),
        &format!("address add {bridge_address} dev {BRIDGE}"),
        &format!("link set {BRIDGE} up"),
        // From an address of the node's own: one of these as source looks like an unserved Service to the node.
        &format!("route add local {VIPS} dev lo src {}", plan.node_address()),
        // A packet to a Service needs a way before it can be given another destination.
        &format!("route add {SERVICES} dev {BRIDGE}"),
    ] {
        let made = Command::new("ip").args(line.split(' ')).status().await;
        let made = made.context("cannot run ip (of iproute2): install it")?;
        ensure!(made.success(), "`ip {line}` failed: be root");
    }
    for (key, value) in [("net/ipv4/ip_forward", "1"), ("net/ipv4/ip_unprivileged_port_start", "1024")] {
        fs::write(format!("/proc/sys/{key}"), value).with_context(|| format!("cannot set {key}"))?;
    }
    Ok(())
}
