//! What a request costs: small tables against one table a listener, in turns.

mod fixed;
mod record;
mod wrk;

use std::path::Path;

use indicatif::ProgressBar;

pub(crate) use record::RequestsRecord;

use crate::args::{Case, RequestsLoad, Tables};
use crate::directory::Layout;
use crate::objects::{Answers, Files, Hosts, Target};
use crate::programs::Programs;
use crate::record::name_of;
use crate::side::Side;
use record::{Round, Sample};
use wrk::Wrk;

/// Routes where there are few.
const FEW: usize = 10;
/// Different routes that are asked for where there are many.
const ASKED: usize = 1000;

/// Measures one case.
///
/// # Errors
/// If anything does not start or ends, wrk is missing, or an answer was wrong.
pub(crate) fn run(
    programs: &Programs,
    load: &RequestsLoad,
    case: Case,
    progress: &ProgressBar,
) -> anyhow::Result<RequestsRecord> {
    let wrk = Wrk::find(load.seconds, load.connections)?;
    let (dir, _temporary) = programs.directory()?;
    let layout = layout(case, load.routes as usize);
    let pod = fixed::start()?;
    let first = if load.null { Tables::Rds } else { Tables::Scoped };
    let start = |name: &str, tables| {
        let mut side = Side::start(programs, &dir.join(name), layout, tables, &pod)?;
        side.check_tables()?;
        side.check_routes()?;
        side.wait_quiet()?;
        anyhow::Ok(side)
    };
    let mut sides = [start("a", first)?, start("b", Tables::Rds)?];
    let asked = asked(case, &sides[0]);
    let script = dir.join("wrk.lua");
    progress.set_message("measuring");
    progress.set_length(u64::from(load.rounds) + 1);
    let mut rounds = Vec::new();
    for number in 0..=load.rounds {
        let round = round(&wrk, &mut sides, &asked, number % 2 == 1, &script)?;
        progress.inc(1);
        // The first one warms up connections and caches.
        if number > 0 {
            rounds.push(round);
        }
    }
    let mut record = RequestsRecord {
        scenario: "requests",
        case: name_of(case),
        hosts: name_of(layout.hosts),
        null: load.null,
        routes: layout.routes,
        rounds: load.rounds,
        ..RequestsRecord::default()
    };
    record.note(case, &rounds);
    Ok(record)
}

fn layout(case: Case, many: usize) -> Layout {
    let files = Files::Many;
    let (routes, hosts, answers) = match case {
        Case::OneHost => (many, Hosts::Shared, Answers::Redirect),
        Case::Few => (FEW, Hosts::Own, Answers::Redirect),
        Case::FewBackend => (FEW, Hosts::Own, Answers::Backend),
        Case::Many => (many, Hosts::Own, Answers::Redirect),
    };
    Layout { routes, hosts, files, answers }
}

/// What is asked for, one measurement each. Paths of one host are of equal length, and their names' order
/// is their order in the table.
fn asked(case: Case, side: &Side) -> Vec<Vec<Target>> {
    let target = |route| side.directory.target(route);
    match case {
        Case::OneHost => side.directory.spread(2).into_iter().map(|route| vec![target(route)]).collect(),
        _ => vec![side.directory.spread(ASKED).into_iter().map(target).collect()],
    }
}

/// Each side once with everything asked; the sides change places from round to round.
fn round(
    wrk: &Wrk,
    sides: &mut [Side; 2],
    asked: &[Vec<Target>],
    swapped: bool,
    script: &Path,
) -> anyhow::Result<Round> {
    let mut round = Round::default();
    for targets in asked {
        let mut samples = [Sample::default(); 2];
        for place in 0..2 {
            let number = if swapped { 1 - place } else { place };
            let side = &mut sides[number];
            side.check_alive()?;
            let cpu = side.envoy.cpu_ns();
            let sent = wrk.run(side.port, targets, script)?;
            let used = side.envoy.cpu_ns().saturating_sub(cpu);
            let cpu_us = used as f64 / sent.requests as f64 / 1e3;
            samples[number] = Sample { per_second: sent.per_second, cpu_us };
        }
        round.samples.push(samples);
    }
    Ok(round)
}
