//! One fleetgate on a directory of its own, and its Envoy.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::args::Tables;
use crate::control_plane::{ControlPlane, Setup};
use crate::directory::{Directory, Layout, Ports};
use crate::envoy;
use crate::objects::{Answers, Target};
use crate::probe::{Answer, Client};
use crate::process::Process;
use crate::programs::Programs;
use crate::scenario::Pod;

const FIRST_ANSWER_LIMIT: Duration = Duration::from_secs(600);
/// Both processes are quiet if they used less than this in a window.
const QUIET_CPU_NS: u64 = 1_000_000;
const QUIET_WINDOW: Duration = Duration::from_millis(20);
const QUIET_LIMIT: Duration = Duration::from_secs(120);
/// Routes asked for before anything is measured.
const CHECKED: usize = 200;

/// From the start of the process, state empty.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ColdStart {
    /// Until `/readyz` is 200.
    pub(crate) ready_s: f64,
    /// Until the last route answers, too.
    pub(crate) answers_s: f64,
    /// What fleetgate used until then.
    pub(crate) cpu_s: f64,
}

/// A running side; dropped, its processes end.
pub(crate) struct Side {
    pub(crate) directory: Directory,
    pub(crate) control_plane: ControlPlane,
    pub(crate) envoy: Process,
    /// Of the Gateway's listener.
    pub(crate) port: u16,
    pub(crate) setup: Setup,
    pub(crate) bootstrap: Value,
    pub(crate) modules: Option<PathBuf>,
    /// The answer of every route.
    pub(crate) there: Answer,
    pub(crate) cold: ColdStart,
    dir: PathBuf,
    starts: usize,
}

impl Side {
    /// Writes the configuration below `dir` and starts on an empty state directory.
    ///
    /// # Errors
    /// If anything does not start.
    pub(crate) fn start(
        programs: &Programs,
        dir: &Path,
        layout: Layout,
        tables: Tables,
        pod: &Pod,
    ) -> anyhow::Result<Side> {
        let modules = programs.module_folder(tables)?;
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let [port, xds, admin] = envoy::free_ports()?;
        let directory = Directory::new(dir, layout);
        directory.write(Ports { listener: port, backend: pod.port })?;
        let config = directory.root().to_owned();
        let binary = programs.fleetgate.clone();
        let setup = Setup { binary, config, state: dir.join("state"), xds, admin, tables };
        let bootstrap = setup.bootstrap()?;
        let there = match layout.answers {
            Answers::Backend => Answer::of(pod.name, None),
            Answers::Redirect => Answer::REDIRECT,
        };
        let wanted = (directory.target(directory.steady_route()), there.clone());
        let start = Start { programs, setup: &setup, bootstrap: &bootstrap, modules: modules.as_deref() };
        let (control_plane, envoy, cold) = start.run(dir, 0, port, &wanted)?;
        let (dir, starts) = (dir.to_owned(), 1);
        Ok(Side {
            directory,
            control_plane,
            envoy,
            port,
            setup,
            bootstrap,
            modules,
            there,
            cold,
            dir,
            starts,
        })
    }

    /// Ends both processes and starts them again on another empty state directory.
    ///
    /// # Errors
    /// If they do not start.
    pub(crate) fn start_again(&mut self, programs: &Programs) -> anyhow::Result<()> {
        self.envoy.stop();
        self.control_plane.process.stop();
        self.setup.state = self.dir.join(format!("state-{}", self.starts));
        self.bootstrap = self.setup.bootstrap()?;
        let modules = self.modules.as_deref();
        let start = Start { programs, setup: &self.setup, bootstrap: &self.bootstrap, modules };
        (self.control_plane, self.envoy, self.cold) =
            start.run(&self.dir, self.starts, self.port, &self.steady())?;
        self.starts += 1;
        Ok(())
    }

    /// Ends fleetgate as a service manager would and starts it again on the same state.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.control_plane.process.stop();
        self.control_plane = ControlPlane::start(&self.setup, &self.dir.join("fleetgate-again.log"))?;
        self.control_plane.wait_ready()
    }

    /// The route that nothing changes, and its answer.
    pub(crate) fn steady(&self) -> (Target, Answer) {
        (self.directory.target(self.directory.steady_route()), self.there.clone())
    }

    /// Waits until both processes do nothing.
    ///
    /// # Errors
    /// If one has ended, or they go on working for two minutes.
    pub(crate) fn wait_quiet(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut last = self.cpu_ns();
        loop {
            std::thread::sleep(QUIET_WINDOW);
            self.check_alive()?;
            let now = self.cpu_ns();
            if now.saturating_sub(last) < QUIET_CPU_NS {
                return Ok(());
            }
            if start.elapsed() > QUIET_LIMIT {
                bail!("fleetgate or its Envoy is still busy after {} s", QUIET_LIMIT.as_secs());
            }
            last = now;
        }
    }

    fn cpu_ns(&mut self) -> u64 {
        self.control_plane.process.cpu_ns() + self.envoy.cpu_ns()
    }

    /// Asks for a sample of all routes, and for some that do not exist.
    ///
    /// # Errors
    /// If one answers anything else than it should.
    pub(crate) fn check_routes(&self) -> anyhow::Result<()> {
        let mut client = Client::new(self.port);
        let base = self.directory.spread(CHECKED).into_iter();
        let base = base.map(|route| (self.directory.target(route), &self.there));
        let none = (0..10).map(|number| (self.directory.extra_target(number), &Answer::MISSING));
        for (target, wanted) in base.chain(none) {
            let given = client.ask(&target).with_context(|| format!("{target:?}"))?;
            if given != *wanted {
                bail!("{target:?} answers {given} instead of {wanted} before anything was changed");
            }
        }
        Ok(())
    }

    /// # Errors
    /// If Envoy was not served the tables that it shall be measured with.
    pub(crate) fn check_tables(&self) -> anyhow::Result<()> {
        let sent = self.control_plane.metrics()?.by_label("fleetgate_xds_resources_total", "type");
        let scopes = sent.get("srds").is_some_and(|count| *count > 0.0);
        match (self.setup.tables, scopes) {
            (Tables::Scoped, false) => bail!(
                "fleetgate sent no scopes though the bootstrap promises the module: \
                 see its status and the logs (--keep)"
            ),
            (Tables::Rds, true) => bail!("fleetgate sent scopes to an Envoy without the module"),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// If one of the processes has ended.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        self.control_plane.process.check_alive()?;
        self.envoy.check_alive()
    }
}

/// What a start needs.
struct Start<'a> {
    programs: &'a Programs,
    setup: &'a Setup,
    bootstrap: &'a Value,
    modules: Option<&'a Path>,
}

impl Start<'_> {
    fn run(
        &self,
        dir: &Path,
        number: usize,
        port: u16,
        wanted: &(Target, Answer),
    ) -> anyhow::Result<(ControlPlane, Process, ColdStart)> {
        let log = dir.join(format!("fleetgate-{number}.log"));
        let mut control_plane = ControlPlane::start(self.setup, &log)?;
        wait_port(&mut control_plane.process, self.setup.xds)?;
        let name = format!("envoy-{number}");
        let xds = self.setup.xds;
        let mut envoy = envoy::start(&name, &self.programs.envoy, self.bootstrap, self.modules, xds, dir)?;
        control_plane.wait_ready()?;
        let started = control_plane.process.started();
        let ready_s = started.elapsed().as_secs_f64();
        wait_answer(&mut envoy, port, wanted)?;
        let answers_s = started.elapsed().as_secs_f64();
        let cpu_s = control_plane.process.cpu_ns() as f64 / 1e9;
        Ok((control_plane, envoy, ColdStart { ready_s, answers_s, cpu_s }))
    }
}

fn wait_port(process: &mut Process, port: u16) -> anyhow::Result<()> {
    process.wait_for("xDS port", Duration::from_secs(60), || {
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok().map(drop)
    })
}

/// Waits until an Envoy gives a route's answer.
///
/// # Errors
/// If it ends or does not in ten minutes.
pub(crate) fn wait_answer(
    envoy: &mut Process,
    port: u16,
    (target, answer): &(Target, Answer),
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
