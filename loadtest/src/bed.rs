//! One test bed: a fleetgate with its Envoy, the floor, the floor's Envoy, two backends.

use std::path::Path;

use loadtest::backend::{Backend, Options};

use crate::args::Load;
use crate::directory::Layout;
use crate::envoy;
use crate::floor::{Floor, Update};
use crate::objects::Answers;
use crate::process::Process;
use crate::programs::Programs;
use crate::record::{Record, name_of};
use crate::scenario::Pod;
use crate::side::{Side, wait_answer};

/// Everything that runs; dropped, all processes end.
pub(crate) struct Bed {
    pub(crate) side: Side,
    pub(crate) floor: Floor,
    pub(crate) floor_envoy: Process,
    /// What the floor's Envoy was sent at its start.
    pub(crate) base: Update,
    pub(crate) pods: [Pod; 2],
    /// Of fleetgate's Envoy and of the floor's.
    pub(crate) ports: [u16; 2],
    _backends: [Backend; 2],
    _temporary: Option<tempfile::TempDir>,
}

impl Bed {
    /// Starts all with `routes` routes, and notes the figures of the cold start in `record`.
    ///
    /// # Errors
    /// If anything does not start.
    pub(crate) fn start(
        programs: &Programs,
        load: &Load,
        routes: usize,
        record: &mut Record,
    ) -> anyhow::Result<Bed> {
        let (dir, _temporary) = programs.directory()?;
        let (blue, blue_pod) = backend(programs, "blue")?;
        let (green, green_pod) = backend(programs, "green")?;
        let tables = load.tables.unwrap_or_else(|| programs.default_tables());
        let (hosts, files) = (load.content.hosts, load.content.files);
        record.routes = routes;
        record.hosts = name_of(hosts);
        record.files = name_of(files);
        record.tables = name_of(tables);
        let layout = Layout { routes, hosts, files, answers: Answers::Backend };
        let side = Side::start(programs, &dir, layout, tables, &blue_pod)?;
        side.check_tables()?;
        record.ready_s = side.cold.ready_s;
        record.cold_start_s = side.cold.answers_s;
        record.cold_start_cpu_s = side.cold.cpu_s;

        let [floor_port] = envoy::free_ports()?;
        let (floor, floor_envoy, base) = start_floor(programs, &side, floor_port, &dir, record)?;
        let ports = [side.port, floor_port];
        let pods = [blue_pod, green_pod];
        Ok(Bed { side, floor, floor_envoy, base, pods, ports, _backends: [blue, green], _temporary })
    }

    /// Notes memory, which is read last.
    pub(crate) fn note_memory(&self, record: &mut Record) {
        let memory = self.side.control_plane.process.memory_mib();
        (record.rss_mib, record.peak_rss_mib) = (memory.now, memory.peak);
        record.envoy_rss_mib = self.side.envoy.memory_mib().now;
    }

    /// # Errors
    /// If one of the processes has ended.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        self.side.check_alive()?;
        self.floor_envoy.check_alive()
    }
}

/// The floor and an Envoy of its own, started through it with the same bootstrap.
fn start_floor(
    programs: &Programs,
    side: &Side,
    listener: u16,
    dir: &Path,
    record: &mut Record,
) -> anyhow::Result<(Floor, Process, Update)> {
    let floor = programs.runtime.block_on(Floor::start(side.setup.xds, listener))?;
    let modules = side.modules.as_deref();
    let mut envoy = envoy::start("floor-envoy", &programs.envoy, &side.bootstrap, modules, floor.port, dir)?;
    wait_answer(&mut envoy, listener, &side.steady())?;
    record.cold_start_envoy_s = envoy.started().elapsed().as_secs_f64();
    let base = floor.recording()?;
    Ok((floor, envoy, base))
}

/// A backend that says its name.
///
/// # Errors
/// If no port is free.
pub(crate) fn backend(programs: &Programs, name: &'static str) -> anyhow::Result<(Backend, Pod)> {
    // Thousands of questions a second are not worth remembering.
    let options = Options { remember: 1, ..Options::named(name) };
    let backend = programs.runtime.block_on(Backend::start(options))?;
    let port = backend.addr.port();
    Ok((backend, Pod { name, port }))
}
