//! Small tables against one table a listener: the same changes on two fleetgates, in turns.

mod measured;
mod record;

use std::path::Path;

use indicatif::ProgressBar;

pub(crate) use record::{LINES, TablesRecord};

use crate::args::{Content, Tables, TablesLoad};
use crate::bed::backend;
use crate::directory::Layout;
use crate::objects::Answers;
use crate::programs::Programs;
use crate::record::name_of;
use crate::scenario::Pod;
use crate::side::Side;
use measured::Measured;

/// Changes of the side with small tables before it is the other's turn.
const BLOCK: usize = 10;

/// Measures `routes` routes. `smallest` is the run with the fewest routes, if it is another one.
///
/// # Errors
/// If anything does not start or ends, or a change never shows.
pub(crate) fn run(
    programs: &Programs,
    load: &TablesLoad,
    routes: usize,
    smallest: Option<&TablesRecord>,
    progress: &ProgressBar,
) -> anyhow::Result<TablesRecord> {
    let (dir, _temporary) = programs.directory()?;
    let (_backend, pod) = backend(programs, "blue")?;
    let (mut scoped, mut rds) = start(programs, load, routes, &dir, &pod)?;
    progress.set_message("measuring");
    take_turns(&mut scoped, rds.as_mut(), load, progress)?;
    progress.set_message("verifying");
    let mut record = TablesRecord {
        scenario: "tables",
        hosts: name_of(load.content.hosts),
        files: name_of(load.content.files),
        null: load.null,
        routes,
        smallest_routes: smallest.map_or(routes, |run| run.routes),
        scoped: scoped.figures(load.changes)?,
        ..TablesRecord::default()
    };
    if !load.null {
        record.scoped.xds_bytes_worst = scoped.worst_bytes()?;
    }
    // What went wrong while the largest change was sought counts, too.
    record.scoped.wrong_answers = scoped.wrong().values().sum();
    record.wrong = scoped.wrong().clone();
    if let Some(rds) = &rds {
        record.rds = Some(rds.figures(load.rds_changes)?);
        record.wrong.extend(rds.wrong().iter().map(|(what, count)| (format!("RDS: {what}"), *count)));
    }
    Ok(record.with_ratios(smallest))
}

/// Starts both sides, some times in turns, and waits until they are quiet.
fn start(
    programs: &Programs,
    load: &TablesLoad,
    routes: usize,
    dir: &Path,
    pod: &Pod,
) -> anyhow::Result<(Measured, Option<Measured>)> {
    let Content { hosts, files, .. } = load.content;
    let layout = Layout { routes, hosts, files, answers: Answers::Backend };
    let side = |name: &str, tables| {
        let side = Side::start(programs, &dir.join(name), layout, tables, pod)?;
        side.check_tables()?;
        let colds = vec![side.cold];
        anyhow::Ok((side, colds))
    };
    let mut scoped = side("a", if load.null { Tables::Rds } else { Tables::Scoped })?;
    let mut rds = if load.no_rds { None } else { Some(side("b", Tables::Rds)?) };
    for _ in 1..load.starts {
        for (side, colds) in std::iter::once(&mut scoped).chain(&mut rds) {
            side.start_again(programs)?;
            colds.push(side.cold);
        }
    }
    let measured = |(side, colds): (Side, Vec<_>)| Measured::new(side, pod, &colds);
    Ok((measured(scoped)?, rds.map(measured).transpose()?))
}

/// A, B, A, B ...: both sides' changes are spread over the same time, so that a drift hits both.
fn take_turns(
    scoped: &mut Measured,
    mut rds: Option<&mut Measured>,
    load: &TablesLoad,
    progress: &ProgressBar,
) -> anyhow::Result<()> {
    let (changes, rds_changes) = (load.changes as usize, load.rds_changes as usize);
    let turns = changes.div_ceil(BLOCK);
    let all = changes + rds.as_ref().map_or(0, |_| rds_changes);
    progress.set_length(all as u64);
    for turn in 0..turns {
        let count = share(changes, turn, turns);
        scoped.turn(count)?;
        progress.inc(count as u64);
        if let Some(rds) = &mut rds {
            let count = share(rds_changes, turn, turns);
            rds.turn(count)?;
            progress.inc(count as u64);
        }
    }
    Ok(())
}

/// How many of `total` fall into a turn.
fn share(total: usize, turn: usize, turns: usize) -> usize {
    total * (turn + 1) / turns - total * turn / turns
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn turns_share_all_changes() {
        for (total, turns) in [(50, 5), (10, 5), (7, 3), (1, 4)] {
            let shares: Vec<usize> = (0..turns).map(|turn| share(total, turn, turns)).collect();
            assert_eq!(shares.iter().sum::<usize>(), total, "{shares:?}");
            assert!(shares.iter().all(|share| share.abs_diff(total / turns) <= 1), "{shares:?}");
        }
    }
}
