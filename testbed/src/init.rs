//! PID 1 of a cluster's namespaces: when it ends, the kernel ends everything in them.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

/// Runs the cluster as a child and reaps whatever else ends, until the cluster does.
///
/// # Errors
/// If the cluster cannot be started.
pub(crate) fn run(dir: &Path) -> anyhow::Result<ExitCode> {
    let asked = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&asked))?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let cluster = Command::new(program).arg("cluster").arg("--dir").arg(dir).spawn()?;
    let cluster =
        i32::try_from(cluster.id()).ok().and_then(Pid::from_raw).context("the cluster has no pid")?;
    let mut told = false;
    loop {
        if asked.load(Ordering::Relaxed) && !std::mem::replace(&mut told, true) {
            // It may have ended by itself meanwhile.
            let _ = kill_process(cluster, Signal::TERM);
        }
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, _))) if pid == cluster => return Ok(ExitCode::SUCCESS),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("nothing is left to wait for"),
        }
    }
}
