//! Random good and bad edits through a real Envoy: after each, every healthy route is live, every bad one is blamed
//! and served in its last good version, and nothing else is blamed.

mod fleet;
mod model;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::Context;
use indicatif::ProgressBar;
use serde::Serialize;

use self::fleet::Fleet;
use self::model::{ROUTES, Random, Route};
use crate::args::{RefusalsLoad, Tables};
use crate::check::Check;
use crate::envoy;
use crate::programs::Programs;
use crate::report::{Column, Run};
use crate::stats::percentile;

/// Edits between two ports that are taken, and between two fresh Envoys.
const PORT_EVERY: u32 = 100;
const ENVOY_EVERY: u32 = 250;

/// One run.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct RefusalsRecord {
    scenario: &'static str,
    tables: &'static str,
    seed: u64,
    edits: u32,
    /// Edits after which something was refused.
    refused_edits: u32,
    /// Pushes that Envoy refused.
    nacks: f64,
    /// Ports that were taken for a while.
    ports: u32,
    /// Envoys that were replaced by fresh ones.
    restarts: u32,
    /// Checks of all routes and all statuses that held.
    checks: u32,
    /// From the write until all answers and statuses were right, milliseconds.
    p50_ms: f64,
    max_ms: f64,
    #[serde(skip)]
    wrong: BTreeMap<String, u64>,
}

/// Edits, asks, compares.
///
/// # Errors
/// If something is wrong for a minute: which route or status, after which edit.
pub(crate) fn run(
    programs: &Programs,
    load: &RefusalsLoad,
    tables: Tables,
    progress: &ProgressBar,
) -> anyhow::Result<RefusalsRecord> {
    let (dir, _owner) = programs.directory()?;
    let mut fleet = Fleet::start(programs, &dir, tables)?;
    let (mut routes, mut random) = ([Route::default(); ROUTES], Random::new(load.seed));
    let name = crate::record::name_of(tables);
    let mut record =
        RefusalsRecord { scenario: "refusals", tables: name, seed: load.seed, ..RefusalsRecord::default() };
    let mut times = Vec::new();
    progress.set_length(u64::from(load.edits));
    for edit in 1..=load.edits {
        for _ in 0..=random.below(3) {
            routes[random.below(ROUTES)].edit(edit, &mut random);
        }
        fleet.write("routes.yaml", &model::routes(&routes))?;
        if edit % ENVOY_EVERY == 0 {
            fleet.restart_envoy()?;
            record.restarts += 1;
        }
        let taken = edit % PORT_EVERY == 0;
        let elapsed = match taken {
            true => with_a_port_taken(&mut fleet, &routes),
            false => settle(&mut fleet, &routes, false),
        };
        times
            .push(elapsed.with_context(|| format!("edit {edit} of seed {}", load.seed))?.as_secs_f64() * 1e3);
        record.ports += u32::from(taken);
        for route in &mut routes {
            route.live = if route.bad { route.live } else { route.written };
        }
        record.edits = edit;
        record.refused_edits += u32::from(routes.iter().any(|route| route.bad));
        progress.inc(1);
    }
    record.nacks = fleet.nacks()?;
    record.checks = record.edits + record.ports;
    record.p50_ms = percentile(&times, 50.0).unwrap_or(0.0);
    record.max_ms = times.iter().copied().fold(0.0, f64::max);
    Ok(record)
}

fn settle(fleet: &mut Fleet, routes: &[Route], taken: bool) -> anyhow::Result<Duration> {
    fleet.rest(|fleet| match fleet.wrong_answer(routes)? {
        None => fleet.wrong_status(routes, taken),
        wrong => Ok(wrong),
    })
}

/// A third listener, on a port that another process holds and then frees.
fn with_a_port_taken(fleet: &mut Fleet, routes: &[Route]) -> anyhow::Result<Duration> {
    let [port] = envoy::free_ports()?;
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("cannot take a port")?;
    fleet.write("gateway.yaml", &model::gateway(fleet.ports, Some(port)))?;
    let first = settle(fleet, routes, true).context("while a port is taken")?;
    drop(holder);
    let second = settle(fleet, routes, false).context("after a port was freed")?;
    fleet.write("gateway.yaml", &model::gateway(fleet.ports, None))?;
    let third = settle(fleet, routes, false).context("after a listener was removed")?;
    Ok(first + second + third)
}

impl Run for RefusalsRecord {
    fn routes(&self) -> usize {
        ROUTES
    }

    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }

    fn wrong(&self) -> &BTreeMap<String, u64> {
        &self.wrong
    }

    fn columns() -> Vec<Column<Self>> {
        vec![
            ("tables", |run| run.tables.to_owned()),
            ("seed", |run| run.seed.to_string()),
            ("edits", |run| run.edits.to_string()),
            ("with refusals", |run| run.refused_edits.to_string()),
            ("NACKs", |run| run.nacks.to_string()),
            ("ports taken", |run| run.ports.to_string()),
            ("fresh Envoys", |run| run.restarts.to_string()),
            ("checks held", |run| run.checks.to_string()),
            ("p50 ms", |run| format!("{:.1}", run.p50_ms)),
            ("max ms", |run| format!("{:.0}", run.max_ms)),
        ]
    }
}
