//! The fleetgate under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::args::Tables;
use crate::metrics::Metrics;
use crate::objects::GATEWAY;
use crate::probe::Client;
use crate::process::Process;

/// Longest wait for a control plane to be ready.
const READY_LIMIT: Duration = Duration::from_secs(300);

/// Where a fleetgate runs, and on what.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) binary: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) xds: u16,
    pub(crate) admin: u16,
    pub(crate) tables: Tables,
}

impl Setup {
    /// The bootstrap of an Envoy; makes the state directory if need be.
    ///
    /// # Errors
    /// If `fleetgate bootstrap` fails.
    pub(crate) fn bootstrap(&self) -> anyhow::Result<Value> {
        fs::create_dir_all(&self.state).context("cannot create the state directory")?;
        let output = Command::new(&self.binary)
            .args(["bootstrap", "--gateway", GATEWAY, "--xds", &loopback(self.xds), "--state-dir"])
            .arg(&self.state)
            .args((self.tables == Tables::Scoped).then_some("--proxy-module"))
            .output()
            .with_context(|| format!("cannot run {}", self.binary.display()))?;
        if !output.status.success() {
            bail!("fleetgate bootstrap failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("fleetgate bootstrap did not print JSON")
    }
}

/// A running `fleetgate standalone`.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    pub(crate) process: Process,
    admin: u16,
}

impl ControlPlane {
    /// Starts it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(setup: &Setup, log: &Path) -> anyhow::Result<ControlPlane> {
        let mut command = Command::new(&setup.binary);
        command.arg("standalone").arg("--config").arg(&setup.config).arg("--state-dir").arg(&setup.state);
        command.args(["--xds", &loopback(setup.xds), "--admin", &loopback(setup.admin)]);
        command.args(["--envoy", "none", "--log", "warn"]);
        let process = Process::start("fleetgate", &mut command, log)?;
        Ok(ControlPlane { process, admin: setup.admin })
    }

    /// Waits for `/readyz`.
    ///
    /// # Errors
    /// If it ends or is not ready in five minutes.
    pub(crate) fn wait_ready(&mut self) -> anyhow::Result<()> {
        let mut client = Client::new(self.admin);
        self.process.wait_for("200 from /readyz", READY_LIMIT, || {
            client.get("localhost", "/readyz").ok().filter(|response| response.status == 200).map(|_| ())
        })
    }

    /// Reads `/metrics`.
    ///
    /// # Errors
    /// If it does not answer.
    pub(crate) fn metrics(&self) -> anyhow::Result<Metrics> {
        let response = Client::new(self.admin).get("localhost", "/metrics").context("/metrics")?;
        if response.status != 200 {
            bail!("/metrics answered {}", response.status);
        }
        Ok(Metrics::parse(&String::from_utf8_lossy(&response.body)))
    }
}

fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
