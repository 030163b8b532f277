//! One test bed: a fleetgate, its Envoy, the floor, the floor's Envoy, two backends.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use loadtest::backend::{Backend, Options};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::args::Load;
use crate::control_plane::{self, ControlPlane, Setup};
use crate::directory::{Directory, Ports};
use crate::envoy;
use crate::floor::{Floor, Update};
use crate::probe::{Answer, Client};
use crate::process::Process;
use crate::record::{Record, name_of};
use crate::scenario::Pod;

const FIRST_ANSWER_LIMIT: Duration = Duration::from_secs(300);

/// Everything that runs; dropped, all processes end.
pub(crate) struct Bed {
    pub(crate) directory: Directory,
    pub(crate) control_plane: ControlPlane,
    pub(crate) envoy: Process,
    pub(crate) floor: Floor,
    pub(crate) floor_envoy: Process,
    /// What the floor's Envoy was sent at its start.
    pub(crate) base: Update,
    pub(crate) pods: [Pod; 2],
    /// Of fleetgate's Envoy and of the floor's.
    pub(crate) ports: [u16; 2],
    pub(crate) setup: Setup,
    _backends: [Backend; 2],
    dir: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

/// Programs and flags of a run.
pub(crate) struct Plan<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) fleetgate: PathBuf,
    pub(crate) envoy: PathBuf,
    pub(crate) load: &'a Load,
}

impl Bed {
    /// Starts all with `routes` routes, and notes the figures of the cold start in `record`.
    ///
    /// # Errors
    /// If anything does not start.
    pub(crate) fn start(plan: &Plan<'_>, routes: usize, record: &mut Record) -> anyhow::Result<Bed> {
        let temporary = tempfile::Builder::new().prefix("fleetgate-load-").tempdir();
        let temporary = temporary.context("cannot make a temporary directory")?;
        let dir = temporary.path().to_owned();
        let temporary = if plan.load.keep {
            eprintln!("kept: {}", temporary.keep().display());
            None
        } else {
            Some(temporary)
        };
        let (backends, pods) = plan.runtime.block_on(backends())?;
        let [listener, floor_listener, xds, admin] = envoy::free_ports()?;
        let directory = Directory::new(&dir, routes, plan.load.hosts, plan.load.files);
        directory.write(Ports { listener, backend: pods[0].port })?;
        record.routes = routes;
        record.hosts = name_of(plan.load.hosts);
        record.files = name_of(plan.load.files);

        let config = directory.root().to_owned();
        let setup = Setup { binary: plan.fleetgate.clone(), config, state: dir.join("state"), xds, admin };
        let bootstrap = setup.bootstrap()?;
        let wanted = (directory.target(directory.steady_route()), Answer::of(pods[0].name, None));
        let mut control_plane = ControlPlane::start(&setup, &dir.join("fleetgate.log"))?;
        wait_port(&mut control_plane.process, xds)?;
        let mut envoy = envoy::start("envoy", &plan.envoy, &bootstrap, xds, &dir)?;
        control_plane.wait_ready()?;
        record.ready_s = control_plane.process.started().elapsed().as_secs_f64();
        wait_answer(&mut envoy, listener, &wanted)?;
        record.cold_start_s = control_plane.process.started().elapsed().as_secs_f64();
        record.cold_start_cpu_s = control_plane.process.cpu_ns() as f64 / 1e9;

        let (floor, floor_envoy, base) =
            start_floor(plan, &bootstrap, [xds, floor_listener], &wanted, &dir, record)?;
        let ports = [listener, floor_listener];
        let _backends = backends;
        let _temporary = temporary;
        Ok(Bed {
            directory,
            control_plane,
            envoy,
            floor,
            floor_envoy,
            base,
            pods,
            ports,
            setup,
            _backends,
            dir,
            _temporary,
        })
    }

    /// Ends fleetgate as a service manager would and starts it again on the same state.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.control_plane.process.stop();
        self.control_plane = ControlPlane::start(&self.setup, &self.dir.join("fleetgate-2.log"))?;
        self.control_plane.wait_ready()
    }

    /// The route that nothing changes, and its answer.
    pub(crate) fn steady(&self) -> (crate::directory::Target, Answer) {
        let target = self.directory.target(self.directory.steady_route());
        (target, Answer::of(self.pods[0].name, None))
    }

    /// Notes memory, which is read last.
    pub(crate) fn note_memory(&self, record: &mut Record) {
        let memory = self.control_plane.process.memory_mib();
        (record.rss_mib, record.peak_rss_mib) = (memory.now, memory.peak);
        record.envoy_rss_mib = self.envoy.memory_mib().now;
    }

    /// # Errors
    /// If one of the processes has ended.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        self.control_plane.process.check_alive()?;
        self.envoy.check_alive()?;
        self.floor_envoy.check_alive()
    }
}

/// The floor and an Envoy of its own, started through it. `ports` are fleetgate's xDS and the listener.
fn start_floor(
    plan: &Plan<'_>,
    bootstrap: &Value,
    [xds, listener]: [u16; 2],
    wanted: &(crate::directory::Target, Answer),
    dir: &Path,
    record: &mut Record,
) -> anyhow::Result<(Floor, Process, Update)> {
    let floor = plan.runtime.block_on(Floor::start(xds, listener))?;
    let mut envoy = envoy::start("floor-envoy", &plan.envoy, bootstrap, floor.port, dir)?;
    wait_answer(&mut envoy, listener, wanted)?;
    record.cold_start_envoy_s = envoy.started().elapsed().as_secs_f64();
    let base = floor.recording()?;
    Ok((floor, envoy, base))
}

async fn backends() -> anyhow::Result<([Backend; 2], [Pod; 2])> {
    let start = async |name| -> anyhow::Result<(Backend, Pod)> {
        // Thousands of questions a second are not worth remembering.
        let options = Options { remember: 1, ..Options::named(name) };
        let backend = Backend::start(options).await?;
        let port = backend.addr.port();
        Ok((backend, Pod { name, port }))
    };
    let (blue, blue_pod) = start("blue").await?;
    let (green, green_pod) = start("green").await?;
    Ok(([blue, green], [blue_pod, green_pod]))
}

fn wait_port(process: &mut Process, port: u16) -> anyhow::Result<()> {
    process.wait_for("xDS port", Duration::from_secs(60), || {
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok().map(drop)
    })
}

fn wait_answer(
    envoy: &mut Process,
    port: u16,
    (target, answer): &(crate::directory::Target, Answer),
) -> anyhow::Result<()> {
    let mut client = Client::new(port);
    let mut last = String::from("no connection");
    let found = envoy.wait_for("first answer", FIRST_ANSWER_LIMIT, || match client.ask(target) {
        Ok(given) if given == *answer => Some(()),
        Ok(given) => {
            last = given.to_string();
            None
        }
        Err(_) => None,
    });
    found.with_context(|| format!("{target:?} (last answer: {last})"))
}

/// The plan's programs.
///
/// # Errors
/// If one is missing.
pub(crate) fn plan<'a>(runtime: &'a Runtime, load: &'a Load) -> anyhow::Result<Plan<'a>> {
    Ok(Plan { runtime, fleetgate: control_plane::find()?, envoy: envoy::find()?, load })
}
