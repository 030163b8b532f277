//! What a request was found to cost, and the targets.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::args::Case;
use crate::check::Check;
use crate::report::{Column, Run};
use crate::stats::percentile;
use crate::text_table::cell;

/// One run of wrk against one side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub(super) per_second: f64,
    /// CPU of the Envoy process a request, microseconds.
    pub(super) cpu_us: f64,
}

/// What was asked for, one after the other; of each, small tables and plain RDS.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    pub(super) samples: Vec<[Sample; 2]>,
}

/// One side: medians of all rounds.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Cost {
    /// Of the first route, where first and last are told apart; else of all asked for.
    pub(crate) requests_per_second: f64,
    pub(crate) cpu_us: f64,
    pub(crate) last_requests_per_second: Option<f64>,
    pub(crate) last_cpu_us: Option<f64>,
    /// Median of each round's CPU for the last route / CPU for the first.
    pub(crate) last_over_first: Option<f64>,
}

/// One case.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct RequestsRecord {
    pub(crate) scenario: &'static str,
    pub(crate) case: &'static str,
    pub(crate) hosts: &'static str,
    /// Both sides were plain RDS.
    pub(crate) null: bool,
    pub(crate) routes: usize,
    pub(crate) rounds: u32,
    pub(crate) scoped: Cost,
    pub(crate) rds: Cost,
    /// Median of each round's scoped / RDS.
    pub(crate) requests_ratio: f64,
    pub(crate) cpu_ratio: f64,
    /// The ratio that a case is held to.
    #[serde(skip)]
    pub(super) target: Option<Target>,
    #[serde(skip)]
    pub(super) wrong: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    LastOverFirst,
    RequestsRatio,
}

impl RequestsRecord {
    /// Fills in the figures.
    pub(super) fn note(&mut self, case: Case, rounds: &[Round]) {
        self.scoped = cost(rounds, 0);
        self.rds = cost(rounds, 1);
        let ratio = |figure: fn(&Sample) -> f64| {
            median(rounds, |round| round.samples.first().map(|[a, b]| figure(a) / figure(b)))
        };
        self.requests_ratio = ratio(|sample| sample.per_second).unwrap_or(0.0);
        self.cpu_ratio = ratio(|sample| sample.cpu_us).unwrap_or(0.0);
        self.target = match case {
            _ if self.null => None,
            Case::OneHost => Some(Target::LastOverFirst),
            Case::Few => Some(Target::RequestsRatio),
            Case::FewBackend | Case::Many => None,
        };
    }
}

fn cost(rounds: &[Round], side: usize) -> Cost {
    let of = |asked: usize, figure: fn(&Sample) -> f64| {
        median(rounds, |round| round.samples.get(asked).map(|samples| figure(&samples[side])))
    };
    Cost {
        requests_per_second: of(0, |sample| sample.per_second).unwrap_or(0.0),
        cpu_us: of(0, |sample| sample.cpu_us).unwrap_or(0.0),
        last_requests_per_second: of(1, |sample| sample.per_second),
        last_cpu_us: of(1, |sample| sample.cpu_us),
        last_over_first: median(rounds, |round| {
            let [first, last] = round.samples.as_slice() else { return None };
            Some(last[side].cpu_us / first[side].cpu_us)
        }),
    }
}

fn median(rounds: &[Round], figure: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
    percentile(&rounds.iter().filter_map(figure).collect::<Vec<_>>(), 50.0)
}

impl Run for RequestsRecord {
    fn routes(&self) -> usize {
        self.routes
    }

    fn wrong(&self) -> &BTreeMap<String, u64> {
        &self.wrong
    }

    fn checks(&self) -> Vec<Check> {
        let check = match self.target {
            Some(Target::LastOverFirst) => Check::at_most(
                "CPU a request, last route of a host / first",
                self.scoped.last_over_first,
                Some(1.2),
            ),
            Some(Target::RequestsRatio) => {
                Check::at_least("requests a second / RDS", Some(self.requests_ratio), Some(0.97))
            }
            None => None,
        };
        check.into_iter().collect()
    }

    fn columns() -> Vec<Column<RequestsRecord>> {
        vec![
            ("case", |r| r.case.to_owned()),
            ("routes", |r| r.routes.to_string()),
            ("req/s", |r| cell(Some(r.scoped.requests_per_second))),
            ("RDS", |r| cell(Some(r.rds.requests_per_second))),
            ("ratio", |r| format!("{:.3}", r.requests_ratio)),
            ("CPU us", |r| cell(Some(r.scoped.cpu_us))),
            ("RDS", |r| cell(Some(r.rds.cpu_us))),
            ("ratio", |r| format!("{:.3}", r.cpu_ratio)),
            ("last req/s", |r| cell(r.scoped.last_requests_per_second)),
            ("RDS", |r| cell(r.rds.last_requests_per_second)),
            ("last CPU us", |r| cell(r.scoped.last_cpu_us)),
            ("RDS", |r| cell(r.rds.last_cpu_us)),
            ("last/first", |r| cell(r.scoped.last_over_first)),
            ("RDS", |r| cell(r.rds.last_over_first)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{RequestsRecord, Round, Run, Sample};
    use crate::args::Case;

    fn sample(per_second: f64, cpu_us: f64) -> Sample {
        Sample { per_second, cpu_us }
    }

    #[test]
    fn ratios_are_of_pairs() {
        // The machine slows down by half from round to round; the pairs do not.
        let round = |speed: f64| Round {
            samples: vec![[sample(99.0 * speed, 10.0 / speed), sample(100.0 * speed, 10.0 / speed)]],
        };
        let mut record = RequestsRecord::default();
        record.note(Case::Few, &[round(1.0), round(0.5), round(0.25)]);
        assert!((record.requests_ratio - 0.99).abs() < 1e-9 && (record.cpu_ratio - 1.0).abs() < 1e-9);
        assert!((record.scoped.requests_per_second - 49.5).abs() < 1e-9);
        assert!(record.checks()[0].ok && record.scoped.last_over_first.is_none());
    }

    #[test]
    fn the_last_route_is_held_against_the_first() {
        let round = Round {
            samples: vec![[sample(9.0, 10.0), sample(9.0, 10.0)], [sample(8.0, 13.0), sample(1.0, 340.0)]],
        };
        let mut record = RequestsRecord::default();
        record.note(Case::OneHost, std::slice::from_ref(&round));
        assert_eq!((record.scoped.last_over_first, record.rds.last_over_first), (Some(1.3), Some(34.0)));
        assert!(!record.checks()[0].ok);
        let mut null = RequestsRecord { null: true, ..RequestsRecord::default() };
        null.note(Case::OneHost, &[round]);
        assert!(null.checks().is_empty());
    }
}
