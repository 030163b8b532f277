//! A fleetgate and its Envoy, with small tables of few routes or with whole ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::model::{self, Route, host};
use crate::args::Tables;
use crate::control_plane::Setup;
use crate::envoy;
use crate::metrics::Metrics;
use crate::probe::Client;
use crate::process::{Process, check_interrupt};
use crate::programs::Programs;

/// Longest wait until an edit has come to rest.
const REST_LIMIT: Duration = Duration::from_secs(60);
/// So small that the routes take several tables.
const TABLE_SIZE: &str = "3";

pub(super) struct Fleet {
    setup: Setup,
    bootstrap: Value,
    modules: Option<PathBuf>,
    envoy_binary: PathBuf,
    dir: PathBuf,
    fleetgate: Process,
    envoy: Process,
    starts: usize,
    pub(super) ports: [u16; 2],
    clients: [Client; 2],
    admin: Client,
}

impl Fleet {
    pub(super) fn start(programs: &Programs, dir: &Path, tables: Tables) -> anyhow::Result<Fleet> {
        let [one, two, xds, admin] = envoy::free_ports()?;
        let (config, modules) = (dir.join("config"), programs.module_folder(tables)?);
        fs::create_dir_all(&config).context("cannot create the directory of the configuration")?;
        write(&config, "gateway.yaml", &model::gateway([one, two], None))?;
        let binary = programs.fleetgate.clone();
        let setup = Setup { binary, config, state: dir.join("state"), xds, admin, tables };
        let bootstrap = setup.bootstrap()?;
        let mut command = Command::new(&setup.binary);
        command.arg("standalone").arg("--config").arg(&setup.config).arg("--state-dir").arg(&setup.state);
        command.args(["--xds", &format!("127.0.0.1:{xds}"), "--admin", &format!("127.0.0.1:{admin}")]);
        command.args(["--envoy", "none", "--log", "warn", "--route-table-size", TABLE_SIZE]);
        let fleetgate = Process::start("fleetgate", &mut command, &dir.join("fleetgate.log"))?;
        let envoy = envoy::start("envoy-0", &programs.envoy, &bootstrap, modules.as_deref(), xds, dir)?;
        let fleet = Fleet {
            setup,
            bootstrap,
            modules,
            envoy_binary: programs.envoy.clone(),
            dir: dir.to_owned(),
            fleetgate,
            envoy,
            starts: 1,
            ports: [one, two],
            clients: [Client::new(one), Client::new(two)],
            admin: Client::new(admin),
        };
        Ok(fleet)
    }

    /// Replaces a file of the configuration at once.
    pub(super) fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        write(&self.setup.config, file, text)
    }

    /// Ends Envoy and starts a fresh one.
    pub(super) fn restart_envoy(&mut self) -> anyhow::Result<()> {
        self.envoy.stop();
        let (name, modules) = (format!("envoy-{}", self.starts), self.modules.as_deref());
        let xds = self.setup.xds;
        self.envoy = envoy::start(&name, &self.envoy_binary, &self.bootstrap, modules, xds, &self.dir)?;
        self.starts += 1;
        self.clients = self.ports.map(Client::new);
        Ok(())
    }

    /// NACKs so far.
    pub(super) fn nacks(&mut self) -> anyhow::Result<f64> {
        let page = self.admin.get("localhost", "/metrics")?;
        let metrics = Metrics::parse(&String::from_utf8_lossy(&page.body));
        Ok(metrics.by_label("fleetgate_xds_nacks_total", "type").values().sum())
    }

    /// Waits until `right` finds nothing wrong any more.
    ///
    /// # Errors
    /// If that takes too long, with what is wrong.
    pub(super) fn rest(
        &mut self,
        mut right: impl FnMut(&mut Fleet) -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<Duration> {
        let start = Instant::now();
        loop {
            check_interrupt()?;
            // A port that was closed is asked again.
            let wrong = right(self).unwrap_or_else(|error| Some(format!("{error:#}")));
            let Some(wrong) = wrong else { return Ok(start.elapsed()) };
            self.fleetgate.check_alive()?;
            self.envoy.check_alive()?;
            if start.elapsed() > REST_LIMIT {
                bail!("{wrong}; see {}", self.dir.display());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The first route that does not answer as it must.
    pub(super) fn wrong_answer(&mut self, routes: &[Route]) -> anyhow::Result<Option<String>> {
        for (number, route) in routes.iter().enumerate() {
            let response = self.clients[number % 2].get(&host(number), "/")?;
            let location = response.header("location").unwrap_or_default();
            let given = location.split('/').nth(2).and_then(|host| host.split(':').next());
            let given = given.filter(|_| response.status == 302).map(str::to_owned);
            if given != route.answer() {
                let wanted = route.answer().unwrap_or_else(|| "404".into());
                return Ok(Some(format!(
                    "route r{number} ({route:?}) answers {} {location:?} instead of {wanted}",
                    response.status
                )));
            }
        }
        Ok(None)
    }

    /// The first object whose status is not true: blamed without a reason, or not blamed. `/readyz` must say no
    /// while something is refused, and only then.
    pub(super) fn wrong_status(&mut self, routes: &[Route], taken: bool) -> anyhow::Result<Option<String>> {
        let page = self.admin.get("localhost", "/status")?;
        let status: Value = serde_json::from_slice(&page.body).context("/status is not JSON")?;
        let objects = status["objects"].as_array().cloned().unwrap_or_default();
        let of_kind = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
        let accepted: BTreeMap<String, bool> = of_kind("HTTPRoute")
            .map(|object| {
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                (name, holds(&object["status"]["parents"][0]["conditions"], "Accepted"))
            })
            .collect();
        for (number, route) in routes.iter().enumerate() {
            let wanted = route.written.map(|_| !route.bad);
            let given = accepted.get(&format!("r{number}")).copied();
            if given != wanted {
                return Ok(Some(format!("route r{number} ({route:?}) is told to be accepted: {given:?}")));
            }
        }
        let listeners = of_kind("Gateway").next().map(|gateway| gateway["status"]["listeners"].clone());
        for listener in listeners.iter().filter_map(Value::as_array).flatten() {
            let wanted = listener["name"] != "three" || !taken;
            if holds(&listener["conditions"], "Programmed") != wanted {
                return Ok(Some(format!(
                    "listener {} is told wrongly: {}",
                    listener["name"], listener["conditions"]
                )));
            }
        }
        let ready = self.admin.get("localhost", "/readyz")?;
        let wanted = !taken && routes.iter().all(|route| !route.bad);
        if (ready.status == 200) != wanted {
            return Ok(Some(format!(
                "/readyz says {} {:?} while it should {}be ready",
                ready.status,
                String::from_utf8_lossy(&ready.body),
                if wanted { "" } else { "not " }
            )));
        }
        Ok(None)
    }
}

fn holds(conditions: &Value, kind: &str) -> bool {
    let conditions = conditions.as_array().into_iter().flatten();
    conditions.filter(|condition| condition["type"] == kind).any(|condition| condition["status"] == "True")
}

fn write(config: &Path, file: &str, text: &str) -> anyhow::Result<()> {
    let draft = config.with_file_name(format!("{file}.draft"));
    fs::write(&draft, text).with_context(|| format!("cannot write {}", draft.display()))?;
    fs::rename(&draft, config.join(file)).with_context(|| format!("cannot write {file}"))
}
