//! What Envoy itself needs on this machine, in the same run: a null control plane beside the cluster.

use std::time::Duration;

use anyhow::Context;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::args::{ClusterLoad, Content, Load};
use crate::bed::Bed;
use crate::changes;
use crate::objects::{Files, Hosts};
use crate::programs::Programs;
use crate::record::Record;
use crate::scenario::{EXTRAS, Step, churn, propagation};

/// Changes a second where endpoints change.
const RATE: u32 = 20;

/// The same changes, pushed as recorded bytes.
#[derive(Debug)]
pub(super) struct Floor {
    route_p50_ms: f64,
    route_p99_ms: f64,
    endpoint_p50_ms: f64,
}

impl Floor {
    /// # Errors
    /// If Envoy or the module is missing, or something does not start.
    pub(super) fn measure(load: &ClusterLoad) -> anyhow::Result<Floor> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let programs = Programs::find(runtime, load.outcome.keep)?;
        let content = Content { routes: vec![load.routes], hosts: Hosts::Own, files: Files::One };
        let alone = Load {
            content,
            changes: load.floor_changes,
            rate: RATE,
            tables: None,
            plot: None,
            outcome: load.outcome.clone(),
        };
        let routes = one(&programs, &alone, Duration::ZERO, |bed| {
            propagation(&bed.side.directory, &bed.pods[0], EXTRAS)
        })?;
        let endpoints = one(&programs, &alone, Duration::from_secs(1) / RATE, |bed| {
            churn(&bed.side.directory, &bed.pods)
        })?;
        let figure = |figure: Option<f64>| figure.context("the floor has no figure");
        Ok(Floor {
            route_p50_ms: figure(routes.floor_p50_ms)?,
            route_p99_ms: figure(routes.floor_p99_ms)?,
            endpoint_p50_ms: figure(endpoints.endpoint_floor_p50_ms)?,
        })
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "route_p50_ms": self.route_p50_ms,
            "route_p99_ms": self.route_p99_ms,
            "endpoint_p50_ms": self.endpoint_p50_ms,
        })
    }

    /// A line for people.
    pub(super) fn to_line(&self) -> String {
        format!(
            "floor (a null control plane pushes the same bytes to an Envoy on this machine): \
             route p50 {:.2} ms, p99 {:.2} ms; endpoint p50 {:.2} ms",
            self.route_p50_ms, self.route_p99_ms, self.endpoint_p50_ms
        )
    }
}

fn one(
    programs: &Programs,
    load: &Load,
    pace: Duration,
    steps: fn(&Bed) -> Vec<Step>,
) -> anyhow::Result<Record> {
    let mut record = Record::default();
    let routes = load.content.routes.first().copied().unwrap_or_default();
    let mut bed = Bed::start(programs, load, routes as usize, &mut record)?;
    let steps = steps(&bed);
    changes::measure(&mut bed, &steps, 2 * load.changes as usize, pace, &ProgressBar::hidden(), &mut record)?;
    Ok(record)
}
