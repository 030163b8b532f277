//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::directory::{Files, Hosts};

/// Measures fleetgate through real Envoys, against the floor that Envoy itself sets.
#[derive(Debug, Parser)]
#[command(
    name = "loadtest",
    after_help = "Examples:
  cargo build --release -p fleetgate
  cargo run --release -p loadtest -- propagation --routes 100,1000,5000,10000 --plot propagation.svg
  cargo run --release -p loadtest -- churn --routes 10000 -o json
  cargo run --release -p loadtest -- coldstart --routes 10000 --check"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// File written -> new route answers 200, one change after another
    Propagation(Load),
    /// Endpoint changes mixed with route edits, at a rate
    Churn(Load),
    /// Start with an empty and with a full state directory
    Coldstart(Load),
}

impl Command {
    /// Its name and flags.
    pub(crate) fn parts(&self) -> (&'static str, &Load) {
        match self {
            Command::Propagation(load) => ("propagation", load),
            Command::Churn(load) => ("churn", load),
            Command::Coldstart(load) => ("coldstart", load),
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    /// Numbers of routes, one run each
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1000",
          value_parser = clap::value_parser!(u32).range(10..=99_999))]
    pub(crate) routes: Vec<u32>,
    /// Whether the routes share one hostname
    #[arg(long, value_enum, default_value = "own")]
    pub(crate) hosts: Hosts,
    /// How the routes lie in files
    #[arg(long, value_enum, default_value = "many")]
    pub(crate) files: Files,
    /// Measured changes (churn: of each kind)
    #[arg(long, value_name = "K", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) changes: u32,
    /// Changes a second in churn; each still waits for the one before
    #[arg(long, value_name = "PER_SECOND", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rate: u32,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Form,
    /// Draw p50 and p99 against the number of routes
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Exit with 1 if a target is missed or an answer was wrong
    #[arg(long)]
    pub(crate) check: bool,
    /// Keep the directory with the configuration, state and logs of each run, and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people
    Table,
    /// One object a run and line
    Json,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
        let cli =
            Cli::try_parse_from(["loadtest", "churn", "--routes", "100,5000", "--hosts", "shared"]).unwrap();
        let (name, load) = cli.command.parts();
        assert_eq!((name, load.routes.as_slice(), load.changes), ("churn", [100, 5000].as_slice(), 50));
        assert!(Cli::try_parse_from(["loadtest", "churn", "--routes", "3"]).is_err());
    }
}
