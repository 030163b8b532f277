//! The programs of a cluster, and whether they still run.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::future::select_all;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::bed::{ClusterDir, Plan};

/// How long something may take to become ready, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// The programs of one cluster. Dropped, they are killed: their data is worth nothing once the bed is gone.
pub(crate) struct Programs {
    dir: ClusterDir,
    plan: Plan,
    running: Vec<(&'static str, Child)>,
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
        let log = self.dir.join(&format!("{name}.log"));
        let log = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(program)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}: run `cargo xtask tools`", program.display()))?;
        self.running.push((name, child));
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
            ended = first_ended(&mut self.running, self.dir.path()) => Err(ended),
        }
    }

    /// Which one ended, when the first of them does.
    pub(crate) async fn first_ended(&mut self) -> anyhow::Error {
        first_ended(&mut self.running, self.dir.path()).await
    }
}

async fn first_ended(running: &mut [(&'static str, Child)], dir: &Path) -> anyhow::Error {
    let waits = running.iter_mut().map(|(name, child)| {
        Box::pin(async move {
            let status = child.wait().await;
            (*name, status.map_or_else(|error| error.to_string(), |status| status.to_string()))
        })
    });
    let ((name, status), ..) = select_all(waits).await;
    anyhow!("{name} ended ({status}); see {}", dir.join(format!("{name}.log")).display())
}
