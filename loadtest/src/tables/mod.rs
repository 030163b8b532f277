//! Small tables against one table a listener: the same changes on two fleetgates, in turns.

mod measured;
mod record;

use indicatif::ProgressBar;

pub(crate) use record::{LINES, TablesRecord};

use crate::args::{Tables, TablesLoad};
use crate::bed::backend;
use crate::directory::Layout;
use crate::objects::Answers;
use crate::programs::Programs;
use crate::record::name_of;
use crate::side::Side;
use crate::stats::percentile;
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
    let (hosts, files) = (load.content.hosts, load.content.files);
    let layout = Layout { routes, hosts, files, answers: Answers::Backend };
    let first = if load.null { Tables::Rds } else { Tables::Scoped };
    let start = |name: &str, tables| {
        let side = Side::start(programs, &dir.join(name), layout, tables, &pod)?;
        side.check_tables()?;
        anyhow::Ok(side)
    };
    let mut sides = vec![start("a", first)?];
    if !load.no_rds {
        sides.push(start("b", Tables::Rds)?);
    }
    let mut colds: Vec<_> = sides.iter().map(|side| vec![side.cold]).collect();
    for _ in 1..load.starts {
        for (side, colds) in sides.iter_mut().zip(&mut colds) {
            side.start_again(programs)?;
            colds.push(side.cold);
        }
    }
    let mut record = TablesRecord {
        scenario: "tables",
        hosts: name_of(hosts),
        files: name_of(files),
        null: load.null,
        routes,
        smallest_routes: smallest.map_or(routes, |run| run.routes),
        ..TablesRecord::default()
    };
    let mut measured = sides.into_iter().map(|side| Measured::new(side, &pod));
    let mut scoped = measured.next().transpose()?.ok_or_else(|| anyhow::anyhow!("no side"))?;
    let mut rds = measured.next().transpose()?;
    drop(measured);
    progress.set_message("measuring");
    take_turns(&mut scoped, rds.as_mut(), load, progress)?;
    progress.set_message("verifying");
    record.scoped = scoped.figures(percentile_of(&colds[0]), load.changes)?;
    record.scoped.xds_bytes_worst = scoped.worst_bytes()?;
    if let Some(rds) = &mut rds {
        record.rds = Some(rds.figures(percentile_of(&colds[1]), load.rds_changes)?);
    }
    record.wrong = scoped.wrong();
    Ok(record.with_ratios(smallest))
}

/// The median of the times from start to answer, seconds.
fn percentile_of(colds: &[crate::side::ColdStart]) -> (f64, f64) {
    let median = |value: fn(&crate::side::ColdStart) -> f64| {
        percentile(&colds.iter().map(value).collect::<Vec<_>>(), 50.0).unwrap_or(0.0)
    };
    (median(|cold| cold.answers_s), median(|cold| cold.cpu_s))
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
