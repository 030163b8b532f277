//! What one run found: the JSON contract and the targets.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::check::Check;
use crate::objects::Hosts;
use crate::plot::Line;
use crate::report::{Column, Run};
use crate::text_table::cell;

/// One run. The names of the fields are a contract; null means not measured in this scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Record {
    pub(crate) scenario: &'static str,
    pub(crate) hosts: &'static str,
    pub(crate) files: &'static str,
    pub(crate) tables: &'static str,
    pub(crate) routes: usize,
    pub(crate) changes: usize,
    /// Changed route (propagation: added; churn: edited) until it answers.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) floor_p50_ms: Option<f64>,
    pub(crate) floor_p99_ms: Option<f64>,
    pub(crate) p50_ratio: Option<f64>,
    pub(crate) p99_ratio: Option<f64>,
    /// Answers of fleetgate's Envoy that were neither the old nor the new one.
    pub(crate) wrong_answers: u64,
    pub(crate) floor_wrong_answers: u64,
    pub(crate) answers: u64,
    pub(crate) wrong: BTreeMap<String, u64>,
    pub(crate) cpu_ms_per_change: Option<f64>,
    pub(crate) xds_bytes_per_change: Option<f64>,
    pub(crate) vhosts_recomputed_per_change: Option<f64>,
    pub(crate) nodes_recomputed_per_change: BTreeMap<String, f64>,
    pub(crate) endpoint_p50_ms: Option<f64>,
    pub(crate) endpoint_p99_ms: Option<f64>,
    pub(crate) endpoint_floor_p50_ms: Option<f64>,
    pub(crate) endpoint_floor_p99_ms: Option<f64>,
    pub(crate) endpoint_cpu_ms: Option<f64>,
    pub(crate) endpoint_bytes: Option<f64>,
    pub(crate) route_nodes_recomputed_per_endpoint_change: Option<f64>,
    pub(crate) rss_mib: f64,
    pub(crate) peak_rss_mib: f64,
    pub(crate) envoy_rss_mib: f64,
    /// Process started, state empty, until `/readyz` is 200 and the last route answers through Envoy.
    pub(crate) cold_start_s: f64,
    pub(crate) cold_start_cpu_s: f64,
    /// Until `/readyz` was 200.
    pub(crate) ready_s: f64,
    /// A new Envoy's start until its last route answers, the control plane being up.
    pub(crate) cold_start_envoy_s: f64,
    pub(crate) restart_s: Option<f64>,
    pub(crate) restart_cpu_s: Option<f64>,
    /// Resources sent again, after a restart, to the Envoy that stayed up.
    pub(crate) restart_resources_resent: Option<f64>,
}

impl Record {
    /// Fills in what follows from the rest.
    pub(crate) fn with_ratios(mut self) -> Record {
        let ratio = |ours: Option<f64>, floor: Option<f64>| Some(ours? / floor.filter(|floor| *floor > 0.0)?);
        self.p50_ratio = ratio(self.p50_ms, self.floor_p50_ms);
        self.p99_ratio = ratio(self.p99_ms, self.floor_p99_ms);
        self
    }
}

impl Run for Record {
    fn routes(&self) -> usize {
        self.routes
    }

    fn wrong(&self) -> &BTreeMap<String, u64> {
        &self.wrong
    }

    fn columns() -> Vec<Column<Record>> {
        vec![
            ("routes", |r| r.routes.to_string()),
            ("p50 ms", |r| cell(r.p50_ms)),
            ("floor", |r| cell(r.floor_p50_ms)),
            ("ratio", |r| cell(r.p50_ratio)),
            ("p99 ms", |r| cell(r.p99_ms)),
            ("floor", |r| cell(r.floor_p99_ms)),
            ("ratio", |r| cell(r.p99_ratio)),
            ("wrong", |r| r.wrong_answers.to_string()),
            ("CPU ms", |r| cell(r.cpu_ms_per_change)),
            ("xDS bytes", |r| cell(r.xds_bytes_per_change)),
            ("ep p50", |r| cell(r.endpoint_p50_ms)),
            ("floor", |r| cell(r.endpoint_floor_p50_ms)),
            ("ep p99", |r| cell(r.endpoint_p99_ms)),
            ("ep CPU ms", |r| cell(r.endpoint_cpu_ms)),
            ("ep bytes", |r| cell(r.endpoint_bytes)),
            ("cold s", |r| cell(Some(r.cold_start_s))),
            ("ready s", |r| cell(Some(r.ready_s))),
            ("cold CPU s", |r| cell(Some(r.cold_start_cpu_s))),
            ("Envoy s", |r| cell(Some(r.cold_start_envoy_s))),
            ("restart s", |r| cell(r.restart_s)),
            ("CPU s", |r| cell(r.restart_cpu_s)),
            ("resent", |r| cell(r.restart_resources_resent)),
            ("RSS MiB", |r| cell(Some(r.rss_mib))),
            ("peak", |r| cell(Some(r.peak_rss_mib))),
            ("Envoy MiB", |r| cell(Some(r.envoy_rss_mib))),
        ]
    }

    fn checks(&self) -> Vec<Check> {
        let own_hosts = self.hosts == name_of(Hosts::Own);
        let when = |holds: bool, value: f64| holds.then_some(value);
        [
            Check::at_most(
                "p50, ms (1.25 x floor + 3)",
                self.p50_ms,
                self.floor_p50_ms.map(|floor| 1.25 * floor + 3.0),
            ),
            Check::at_most(
                "p99, ms (2 x floor + 10)",
                self.p99_ms,
                self.floor_p99_ms.map(|floor| 2.0 * floor + 10.0),
            ),
            Check::exactly("wrong answers", Some(self.wrong_answers as f64), 0.0),
            Check::at_most("virtual hosts recomputed a change", self.vhosts_recomputed_per_change, Some(1.0)),
            Check::at_most("CPU a change, ms", self.cpu_ms_per_change, when(own_hosts, 2.0)),
            Check::exactly(
                "route nodes woken by an endpoint",
                self.route_nodes_recomputed_per_endpoint_change,
                0.0,
            ),
            Check::at_most("cold start CPU, s", Some(self.cold_start_cpu_s), Some(1.5)),
            Check::at_most(
                "resident memory, MiB",
                Some(self.rss_mib),
                Some(100.0 * 1e6 / f64::from(1 << 20)),
            ),
            Check::exactly("resources resent after a restart", self.restart_resources_resent, 0.0),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What is drawn.
pub(crate) const LINES: [Line<Record>; 4] = [
    Line { name: "fleetgate p99", colour: "#c2410c", dash: "", value: |r| r.p99_ms },
    Line { name: "floor p99", colour: "#c2410c", dash: "5 4", value: |r| r.floor_p99_ms },
    Line { name: "fleetgate p50", colour: "#1d4ed8", dash: "", value: |r| r.p50_ms },
    Line { name: "floor p50", colour: "#1d4ed8", dash: "5 4", value: |r| r.floor_p50_ms },
];

/// As on the command line.
pub(crate) fn name_of(value: impl clap::ValueEnum) -> &'static str {
    // Leaks a few bytes once a run, for a static name that clap owns.
    value.to_possible_value().map_or("", |value| String::leak(value.get_name().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Record, Run};

    fn record() -> Record {
        Record {
            scenario: "propagation",
            hosts: "own",
            routes: 1000,
            p50_ms: Some(20.0),
            floor_p50_ms: Some(10.0),
            p99_ms: Some(30.0),
            floor_p99_ms: Some(10.0),
            ..Record::default()
        }
    }

    #[test]
    fn the_contract_has_all_its_fields() {
        let json = serde_json::to_value(record()).unwrap();
        let contract = "routes p50_ms p99_ms floor_p50_ms floor_p99_ms wrong_answers cpu_ms_per_change \
                        xds_bytes_per_change rss_mib cold_start_s cold_start_cpu_s";
        for field in contract.split_whitespace() {
            assert!(json.get(field).is_some(), "{field}");
        }
        assert!(json["cpu_ms_per_change"].is_null());
    }

    #[test]
    fn targets_are_relative_to_the_floor() {
        let record = record().with_ratios();
        assert_eq!(record.p50_ratio, Some(2.0));
        let checks = record.checks();
        assert_eq!((checks[0].target, checks[0].ok), (15.5, false));
        assert_eq!((checks[1].target, checks[1].ok), (30.0, true));
    }

    #[test]
    fn what_was_not_measured_is_not_checked() {
        let whats: Vec<_> = record().checks().into_iter().map(|check| check.what).collect();
        assert!(!whats.contains(&"resources resent after a restart"), "{whats:?}");
        let wrong = Record { wrong_answers: 1, ..record() };
        assert!(wrong.checks().iter().any(|check| check.what == "wrong answers" && !check.ok));
    }
}
