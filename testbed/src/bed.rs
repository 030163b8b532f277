//! Where a bed keeps its state, and what is in it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::process::Process;

/// The directory of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterDir(PathBuf);

/// What a cluster was started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// `BED-K`
    pub(crate) name: String,
    /// K, from 0.
    pub(crate) number: usize,
    /// Port of the API server on loopback, inside the namespaces and outside.
    pub(crate) port: u16,
    /// Where the programs are.
    pub(crate) tools: PathBuf,
    /// JSON that says which program an image is.
    pub(crate) images: Option<PathBuf>,
    /// The Gateway API's definitions, a folder for each release channel.
    pub(crate) definitions: PathBuf,
    /// Release channel of the Gateway API's definitions.
    pub(crate) channel: String,
    /// The API server notes each request in `audit.log`.
    pub(crate) audit: bool,
}

impl Plan {
    /// `10.64.0.0/16` for the first cluster, and so on.
    pub(crate) fn pod_cidr(&self) -> String {
        format!("10.{}.0.0/16", 64 + self.number)
    }

    /// The address of the bridge, which is the node's.
    pub(crate) fn node_address(&self) -> String {
        format!("10.{}.0.1", 64 + self.number)
    }
}

/// Addresses of Services of type LoadBalancer (TEST-NET-1): nobody has them outside.
pub(crate) const VIPS: &str = "192.0.2.0/24";
/// Addresses of Services.
pub(crate) const SERVICES: &str = "10.96.0.0/16";
/// The first of them is the API server's.
pub(crate) const API_SERVER: &str = "10.96.0.1";
/// The bridge that pods hang on.
pub(crate) const BRIDGE: &str = "br0";

/// The processes of a running cluster, as the host sees them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    /// Holds the namespaces and forwards to the API server.
    pub(crate) supervisor: Process,
    /// PID 1 of the cluster's namespaces.
    pub(crate) init: Process,
}

impl ClusterDir {
    /// The directory of cluster `number` of a bed.
    pub(crate) fn new(beds: &Path, bed: &str, number: usize) -> ClusterDir {
        ClusterDir(beds.join(bed).join(number.to_string()))
    }

    /// A directory that is known.
    pub(crate) fn at(path: PathBuf) -> ClusterDir {
        ClusterDir(path)
    }

    /// Those of a bed that exist, in order.
    pub(crate) fn all(beds: &Path, bed: &str) -> Vec<ClusterDir> {
        let entries = fs::read_dir(beds.join(bed)).into_iter().flatten().flatten();
        let mut numbers: Vec<usize> =
            entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|number| ClusterDir::new(beds, bed, number)).collect()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.join("kubeconfig")
    }

    /// Path of the socket that leads to the API server.
    pub(crate) fn socket(&self) -> PathBuf {
        self.join("api.sock")
    }

    /// There when all is ready.
    pub(crate) fn ready(&self) -> PathBuf {
        self.join("ready")
    }

    /// Why the cluster ended by itself, if it did.
    pub(crate) fn failure(&self) -> Option<String> {
        fs::read_to_string(self.join("failure")).ok()
    }

    pub(crate) fn plan(&self) -> anyhow::Result<Plan> {
        read(&self.join("plan.json"))
    }

    pub(crate) fn write_plan(&self, plan: &Plan) -> anyhow::Result<()> {
        write(&self.join("plan.json"), plan)
    }

    pub(crate) fn running(&self) -> anyhow::Result<Running> {
        read(&self.join("running.json"))
    }

    pub(crate) fn write_running(&self, running: &Running) -> anyhow::Result<()> {
        write(&self.join("running.json"), running)
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
}

/// Under another name first, so that nobody reads half of it.
fn write(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    fs::write(&draft, serde_json::to_vec_pretty(value)?)
        .and_then(|()| fs::rename(&draft, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
