//! The real Envoys that both control planes are measured through.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::process::Process;

/// Where `cargo xtask tools --print envoy` puts it.
const FETCHED: &str = ".tools/envoy-1.40.0/envoy";
/// The port of the control plane in a bootstrap.
const XDS_PORT: &str = "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value";
/// Where Envoy looks for dynamic modules.
const MODULES: &str = "ENVOY_DYNAMIC_MODULES_SEARCH_PATH";

/// FLEETGATE_ENVOY, or the fetched one in this directory or above it.
///
/// # Errors
/// If there is none.
pub(crate) fn find() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("FLEETGATE_ENVOY").map(PathBuf::from);
    let here = std::env::current_dir().context("cannot find out the current directory")?;
    let fetched = here.ancestors().map(|directory| directory.join(FETCHED));
    let Some(found) = named.into_iter().chain(fetched).find(|path| path.is_file()) else {
        bail!("no Envoy: run `cargo xtask tools --print envoy`, or name one in FLEETGATE_ENVOY");
    };
    found.canonicalize().with_context(|| format!("cannot resolve {}", found.display()))
}

/// Starts an Envoy with one worker that asks for its configuration at `xds`; `modules` is the folder of
/// the dynamic module that the bootstrap promises.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn start(
    name: &str,
    binary: &Path,
    bootstrap: &Value,
    modules: Option<&Path>,
    xds: u16,
    dir: &Path,
) -> anyhow::Result<Process> {
    let mut bootstrap = bootstrap.clone();
    let port = bootstrap.pointer_mut(XDS_PORT).context("the bootstrap has no TCP address for xDS")?;
    *port = json!(xds);
    let file = dir.join(format!("{name}.json"));
    fs::write(&file, bootstrap.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    let mut command = Command::new(binary);
    command.arg("-c").arg(&file).args(["--concurrency", "1", "--disable-hot-restart", "-l", "warn"]);
    command.env_remove(MODULES).envs(modules.map(|folder| (MODULES, folder)));
    Process::start(name, &mut command, &dir.join(format!("{name}.log")))
}

/// Free TCP ports on loopback, all different.
///
/// # Errors
/// If the system has none.
pub(crate) fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        *port = listener.local_addr().context("no address")?.port();
        held.push(listener);
    }
    Ok(ports)
}
