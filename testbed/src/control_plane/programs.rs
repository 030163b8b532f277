//! The programs of a cluster, and whether they still run.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::future::select_all;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::bed::{ClusterDir, Plan};

/// How long something may take to become ready, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// One program, and how it was started.
struct Program {
    name: &'static str,
    path: PathBuf,
    flags: Vec<String>,
    child: Child,
}

/// The programs of one cluster. Dropped, they are killed: their data is worth nothing once the bed is gone.
pub(crate) struct Programs {
    dir: ClusterDir,
    plan: Plan,
    running: Vec<Program>,
}

impl Programs {
    pub(crate) fn new(dir: ClusterDir, plan: Plan) -> Programs {
        Programs { dir, plan, running: Vec::new() }
    }

    pub(crate) fn dir(&self) -> &ClusterDir {
        &self.dir
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Starts a program; what it says goes to `NAME.log`.
    ///
    /// # Errors
    /// If it cannot be run.
    pub(crate) fn start(
        &mut self,
        name: &'static str,
        program: &Path,
        flags: Vec<String>,
    ) -> anyhow::Result<()> {
        let child = run(&self.dir, name, program, &flags)?;
        self.running.push(Program { name, path: program.to_owned(), flags, child });
        Ok(())
    }

    /// Asks again and again, until the answer is yes.
    ///
    /// # Errors
    /// If a program ends meanwhile, or it takes too long.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        mut is_so: impl AsyncFnMut() -> bool,
    ) -> anyhow::Result<()> {
        let asked = async {
            while !is_so().await {
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            asked = timeout(PATIENCE, asked) => {
                asked.map_err(|_| anyhow!("waited {PATIENCE:?} until {what}; see *.log in {}", self.dir.path().display()))
            }
            (at, status) = first_ended(&mut self.running) => Err(self.failure(at, status)),
        }
    }

    /// Starts what a signal ended again, as a kubelet does with the pods of a control plane. Returns when a program
    /// ends by itself, or cannot be started any more: why.
    pub(crate) async fn keep_running(&mut self) -> anyhow::Error {
        loop {
            let (at, status) = first_ended(&mut self.running).await;
            if !status.as_ref().is_ok_and(|status| status.signal().is_some()) {
                return self.failure(at, status);
            }
            let Program { name, path, flags, child } = &mut self.running[at];
            tracing::info!("{name} was killed and is started again");
            match run(&self.dir, name, path, flags) {
                Ok(started) => *child = started,
                Err(problem) => return problem,
            }
        }
    }

    fn failure(&self, at: usize, status: std::io::Result<ExitStatus>) -> anyhow::Error {
        let name = self.running[at].name;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        anyhow!("{name} ended ({status}); see {}", self.dir.join(&format!("{name}.log")).display())
    }
}

fn run(dir: &ClusterDir, name: &str, program: &Path, flags: &[String]) -> anyhow::Result<Child> {
    let log = dir.join(&format!("{name}.log"));
    let log = File::options().create(true).append(true).open(&log);
    let log = log.with_context(|| format!("cannot write {}", dir.path().display()))?;
    Command::new(program)
        .args(flags)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}: run `cargo xtask tools`", program.display()))
}

/// Place of the program that ends first, and how it ended.
async fn first_ended(running: &mut [Program]) -> (usize, std::io::Result<ExitStatus>) {
    let waits = running.iter_mut().map(|program| Box::pin(program.child.wait()));
    let (status, at, _) = select_all(waits).await;
    (at, status)
}
