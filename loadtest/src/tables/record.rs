//! What one comparison found, and its targets.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::check::Check;
use crate::objects::Hosts;
use crate::plot::Line;
use crate::record::name_of;
use crate::report::{Column, Run};
use crate::text_table::cell;

/// The size that some targets are given for.
const TEN_THOUSAND: usize = 10_000;
/// Two cold starts differ by so much on an idle machine without a reason.
const COLD_START_NOISE: f64 = 0.05;

/// One side. A change is a route that appears or disappears; p50 and p99 are of those that appear.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) changes: u32,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) xds_bytes_per_change: f64,
    /// Of the change that makes fleetgate send the most.
    pub(crate) xds_bytes_worst: Option<f64>,
    pub(crate) cpu_ms_per_change: f64,
    /// Started and quiet, nothing changed yet.
    pub(crate) envoy_rss_mib: f64,
    /// After the changes.
    pub(crate) envoy_rss_after_mib: f64,
    pub(crate) rss_mib: f64,
    /// Median, from the start of the process, state empty, until the last route answers.
    pub(crate) cold_start_s: f64,
    pub(crate) cold_start_cpu_s: f64,
    pub(crate) answers: u64,
    pub(crate) wrong_answers: u64,
}

/// One number of routes.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct TablesRecord {
    pub(crate) scenario: &'static str,
    pub(crate) hosts: &'static str,
    pub(crate) files: &'static str,
    /// Both sides were plain RDS.
    pub(crate) null: bool,
    pub(crate) routes: usize,
    pub(crate) scoped: Figures,
    pub(crate) rds: Option<Figures>,
    /// RDS / scoped.
    pub(crate) p50_ratio: Option<f64>,
    pub(crate) p99_ratio: Option<f64>,
    /// Scoped / RDS.
    pub(crate) envoy_rss_ratio: Option<f64>,
    pub(crate) cold_start_ratio: Option<f64>,
    /// p50 / p50 with the fewest routes.
    pub(crate) growth: Option<f64>,
    pub(crate) rds_growth: Option<f64>,
    pub(crate) smallest_routes: usize,
    pub(crate) wrong: BTreeMap<String, u64>,
}

impl TablesRecord {
    /// Fills in what follows from the rest and from the run with the fewest routes.
    pub(crate) fn with_ratios(mut self, smallest: Option<&TablesRecord>) -> TablesRecord {
        let ratio = |over: Option<f64>, under: Option<f64>| Some(over? / under.filter(|under| *under > 0.0)?);
        let of = |figure: fn(&Figures) -> f64| self.rds.as_ref().map(figure);
        let rds = |run: &TablesRecord| run.rds.as_ref()?.p50_ms;
        self.p50_ratio = ratio(rds(&self), self.scoped.p50_ms);
        self.p99_ratio = ratio(self.rds.as_ref().and_then(|rds| rds.p99_ms), self.scoped.p99_ms);
        self.envoy_rss_ratio = ratio(Some(self.scoped.envoy_rss_mib), of(|rds| rds.envoy_rss_mib));
        self.cold_start_ratio = ratio(Some(self.scoped.cold_start_s), of(|rds| rds.cold_start_s));
        self.growth = smallest.and_then(|smallest| ratio(self.scoped.p50_ms, smallest.scoped.p50_ms));
        self.rds_growth = smallest.and_then(|smallest| ratio(rds(&self), rds(smallest)));
        self
    }

    fn rds(&self, figure: fn(&Figures) -> Option<f64>) -> Option<f64> {
        figure(self.rds.as_ref()?)
    }
}

/// What is drawn.
pub(crate) const LINES: [Line<TablesRecord>; 2] = [
    Line { name: "plain RDS p50", colour: "#c2410c", dash: "", value: |r| r.rds(|rds| rds.p50_ms) },
    Line { name: "small tables p50", colour: "#1d4ed8", dash: "", value: |r| r.scoped.p50_ms },
];

impl Run for TablesRecord {
    fn routes(&self) -> usize {
        self.routes
    }

    fn wrong(&self) -> &BTreeMap<String, u64> {
        &self.wrong
    }

    fn checks(&self) -> Vec<Check> {
        if self.null {
            return Vec::new();
        }
        let when = |holds: bool, value: f64| holds.then_some(value);
        let at_ten = self.routes == TEN_THOUSAND;
        let own = self.hosts == name_of(Hosts::Own);
        let bytes = self.scoped.xds_bytes_worst.unwrap_or(self.scoped.xds_bytes_per_change);
        let wrong = self.scoped.wrong_answers + self.rds.as_ref().map_or(0, |rds| rds.wrong_answers);
        [
            Check::at_most("p50 / p50 with the fewest routes", self.growth, Some(2.0)),
            Check::at_most("p50, ms", self.scoped.p50_ms, when(at_ten, 6.0)),
            Check::at_least("RDS p50 / p50", self.p50_ratio, when(at_ten, 15.0)),
            Check::at_most("xDS bytes of the largest change", Some(bytes), Some(65_536.0)),
            Check::at_most("CPU a change, ms", Some(self.scoped.cpu_ms_per_change), Some(1.0)),
            Check::at_most("Envoy's memory / RDS", self.envoy_rss_ratio, when(at_ten && own, 1.2)),
            Check::at_most(
                "cold start / RDS (1, and 5 % noise)",
                self.cold_start_ratio,
                Some(1.0 + COLD_START_NOISE),
            ),
            Check::exactly("wrong answers, both sides", Some(wrong as f64), 0.0),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn columns() -> Vec<Column<TablesRecord>> {
        vec![
            ("routes", |r| r.routes.to_string()),
            ("p50 ms", |r| cell(r.scoped.p50_ms)),
            ("RDS", |r| cell(r.rds(|rds| rds.p50_ms))),
            ("ratio", |r| cell(r.p50_ratio)),
            ("growth", |r| cell(r.growth)),
            ("RDS", |r| cell(r.rds_growth)),
            ("p99 ms", |r| cell(r.scoped.p99_ms)),
            ("RDS", |r| cell(r.rds(|rds| rds.p99_ms))),
            ("bytes", |r| cell(Some(r.scoped.xds_bytes_per_change))),
            ("worst", |r| cell(r.scoped.xds_bytes_worst)),
            ("RDS", |r| cell(r.rds(|rds| Some(rds.xds_bytes_per_change)))),
            ("CPU ms", |r| cell(Some(r.scoped.cpu_ms_per_change))),
            ("RDS", |r| cell(r.rds(|rds| Some(rds.cpu_ms_per_change)))),
            ("Envoy MiB", |r| cell(Some(r.scoped.envoy_rss_mib))),
            ("RDS", |r| cell(r.rds(|rds| Some(rds.envoy_rss_mib)))),
            ("ratio", |r| cell(r.envoy_rss_ratio)),
            ("after", |r| cell(Some(r.scoped.envoy_rss_after_mib))),
            ("RDS", |r| cell(r.rds(|rds| Some(rds.envoy_rss_after_mib)))),
            ("RSS MiB", |r| cell(Some(r.scoped.rss_mib))),
            ("RDS", |r| cell(r.rds(|rds| Some(rds.rss_mib)))),
            ("cold s", |r| cell(Some(r.scoped.cold_start_s))),
            ("RDS", |r| cell(r.rds(|rds| Some(rds.cold_start_s)))),
            ("ratio", |r| cell(r.cold_start_ratio)),
            ("wrong", |r| r.scoped.wrong_answers.to_string()),
            ("RDS", |r| cell(r.rds(|rds| Some(rds.wrong_answers as f64)))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, Run, TablesRecord};

    fn record(routes: usize, p50_ms: f64, rds_ms: f64) -> TablesRecord {
        let figures = |ms| Figures {
            p50_ms: Some(ms),
            envoy_rss_mib: 100.0,
            cold_start_s: 1.0,
            xds_bytes_per_change: 1000.0,
            ..Figures::default()
        };
        TablesRecord {
            hosts: "own",
            routes,
            scoped: figures(p50_ms),
            rds: Some(figures(rds_ms)),
            ..TablesRecord::default()
        }
    }

    fn missed(record: &TablesRecord) -> Vec<&'static str> {
        record.checks().into_iter().filter(|check| !check.ok).map(|check| check.what).collect()
    }

    #[test]
    fn growth_is_against_the_fewest_routes() {
        let smallest = record(100, 2.0, 3.0).with_ratios(None);
        let large = record(10_000, 5.0, 120.0).with_ratios(Some(&smallest));
        assert_eq!((large.growth, large.rds_growth, large.p50_ratio), (Some(2.5), Some(40.0), Some(24.0)));
        assert_eq!(missed(&large), ["p50 / p50 with the fewest routes"]);
        assert!(missed(&smallest).is_empty());
    }

    #[test]
    fn some_targets_hold_at_ten_thousand_routes_only() {
        let slow = |routes| record(routes, 7.0, 10.0).with_ratios(None);
        assert_eq!(missed(&slow(10_000)), ["p50, ms", "RDS p50 / p50"]);
        assert!(missed(&slow(1000)).is_empty());
    }

    #[test]
    fn the_largest_change_and_every_wrong_answer_count() {
        let mut bad = record(100, 2.0, 3.0);
        bad.scoped.xds_bytes_worst = Some(70_000.0);
        if let Some(rds) = &mut bad.rds {
            rds.wrong_answers = 1;
        }
        assert_eq!(missed(&bad), ["xDS bytes of the largest change", "wrong answers, both sides"]);
        let null = TablesRecord { null: true, ..bad };
        assert!(null.checks().is_empty());
    }
}
