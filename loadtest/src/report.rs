//! What all kinds of runs have in common: they are printed, and held to targets.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use crate::args::{Form, Outcome};
use crate::check::Check;
use crate::text_table;

/// A column of the table for people, and a run's cell in it (`-` if there is none).
pub(crate) type Column<R> = (&'static str, fn(&R) -> String);

/// The figures of one run.
pub(crate) trait Run: Serialize + Sized {
    /// Number of routes.
    fn routes(&self) -> usize;
    /// All targets that this run can be held to.
    fn checks(&self) -> Vec<Check>;
    /// Wrong answers by what they were.
    fn wrong(&self) -> &BTreeMap<String, u64>;
    /// Columns of the table.
    fn columns() -> Vec<Column<Self>>;
}

/// Does the runs one after the other and prints them, JSON at once, the table at the end. The exit code is
/// 1 if a target was missed and that shall be checked.
///
/// # Errors
/// Those of the runs.
pub(crate) fn print<R: Run>(
    outcome: &Outcome,
    runs: impl Iterator<Item = anyhow::Result<R>>,
) -> anyhow::Result<(Vec<R>, ExitCode)> {
    let mut done = Vec::new();
    for run in runs {
        let run = run?;
        if outcome.output == Form::Json {
            println!("{}", serde_json::to_string(&run).context("cannot write JSON")?);
        }
        done.push(run);
    }
    if outcome.output == Form::Table {
        print!("{}", text_table::render(&done));
    }
    let met = done.iter().all(|run| run.checks().iter().all(|check| check.ok));
    let code = if outcome.check && !met { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    Ok((done, code))
}
