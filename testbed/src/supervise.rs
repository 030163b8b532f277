//! The one process of a cluster that lives in the host's namespaces: it makes those of the cluster, and forwards
//! a loopback port to the API server in them.

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::bed::{ClusterDir, Running};
use crate::forward;
use crate::process::Process;

/// How long the cluster may take to end in order.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs until SIGTERM, or until the cluster ends.
///
/// # Errors
/// If the namespaces cannot be made or the port is taken.
pub(crate) async fn run(dir: ClusterDir) -> anyhow::Result<ExitCode> {
    let mut stop = signal(SignalKind::terminate())?;
    let plan = dir.plan()?;
    let listener = TcpListener::bind(("127.0.0.1", plan.port))
        .await
        .with_context(|| format!("port {} is taken: run `testbed down` and `up` again", plan.port))?;
    let program = std::env::current_exe()?;
    let mut unshare = Command::new("unshare")
        .args(["--net", "--pid", "--mount", "--ipc", "--uts", "--fork", "--mount-proc", "--kill-child", "--"])
        .arg(program)
        .args(["init", "--dir"])
        .arg(dir.path())
        // When this process ends, whatever the reason, the other end of the pipe is closed: the cluster sees it.
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run unshare (of util-linux)")?;
    let lifeline = unshare.stdin.take();
    let init = child(&unshare).await.context("unshare could not make the namespaces: be root")?;
    let supervisor = Process::this().context("this process is not in /proc")?;
    dir.write_running(&Running { supervisor, init })?;
    let forwarding = tokio::spawn(forward::to_socket(listener, dir.socket()));
    tokio::select! {
        _ = unshare.wait() => {}
        _ = stop.recv() => {
            drop(lifeline);
            if tokio::time::timeout(PATIENCE, unshare.wait()).await.is_err() {
                init.signal(Signal::KILL);
                unshare.wait().await?;
            }
        }
    }
    forwarding.abort();
    Ok(ExitCode::SUCCESS)
}

/// PID 1 of the new namespaces, as soon as it is there.
async fn child(unshare: &tokio::process::Child) -> Option<Process> {
    let unshare = Process::of(unshare.id()?)?;
    while unshare.is_alive() {
        if let Some(child) = unshare.child() {
            return Some(child);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    None
}
