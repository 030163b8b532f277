//! PID 1 of a cluster's namespaces: when it ends, the kernel ends everything in them.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;
use rustix::process::{Pid, WaitOptions, wait};

/// Runs the cluster as a child and reaps whatever else ends, until the cluster does.
///
/// # Errors
/// If the cluster cannot be started.
pub(crate) fn run(dir: &Path) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let cluster = Command::new(program).arg("cluster").arg("--dir").arg(dir).spawn()?;
    let cluster =
        i32::try_from(cluster.id()).ok().and_then(Pid::from_raw).context("the cluster has no pid")?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, _))) if pid == cluster => return Ok(ExitCode::SUCCESS),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("nothing is left to wait for"),
        }
    }
}
