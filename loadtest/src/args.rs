//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::objects::{Files, Hosts};

/// Measures fleetgate through real Envoys, against the floor that Envoy itself sets or against plain RDS.
#[derive(Debug, Parser)]
#[command(
    name = "loadtest",
    after_help = "Examples:
  cargo build --release -p fleetgate -p proxy
  cargo run --release -p loadtest -- propagation --routes 100,1000,5000,10000 --plot propagation.svg
  cargo run --release -p loadtest -- churn --routes 10000 -o json
  cargo run --release -p loadtest -- coldstart --routes 10000 --check
  cargo run --release -p loadtest -- tables --routes 100,1000,10000,100000 --plot tables.svg
  cargo run --release -p loadtest -- requests --check
  cargo run --release -p loadtest -- refusals --edits 5000 --seed 1
  cargo xtask testbed shell -- target/release/loadtest cluster"
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
    /// Small tables against one table a listener (plain RDS): changes, bytes, CPU, memory, cold start
    Tables(TablesLoad),
    /// fleetgate in a cluster: objects taken by the API server -> answers and statuses
    Cluster(ClusterLoad),
    /// Small tables against one table a listener (plain RDS): CPU a request and requests a second
    Requests(RequestsLoad),
    /// Random good and bad edits: what is good is live, what is bad alone is blamed; ends at the first fault
    Refusals(RefusalsLoad),
}

/// What lies in the directory.
#[derive(Args, Clone, Debug)]
pub(crate) struct Content {
    /// Numbers of routes, one run each
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1000",
          value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(crate) routes: Vec<u32>,
    /// What tells the routes apart
    #[arg(long, value_enum, default_value = "own")]
    pub(crate) hosts: Hosts,
    /// How the routes lie in files
    #[arg(long, value_enum, default_value = "many")]
    pub(crate) files: Files,
}

/// What becomes of the figures and the files.
#[derive(Args, Clone, Debug)]
pub(crate) struct Outcome {
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Form,
    /// Exit with 1 if a target is missed or an answer was wrong
    #[arg(long)]
    pub(crate) check: bool,
    /// Keep the directory with the configuration, state and logs of each run, and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    #[command(flatten)]
    pub(crate) content: Content,
    /// Measured changes (churn: of each kind)
    #[arg(long, value_name = "K", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) changes: u32,
    /// Changes a second in churn; each still waits for the one before
    #[arg(long, value_name = "PER_SECOND", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rate: u32,
    /// How Envoy is served routes [default: scoped if the module has been built]
    #[arg(long, value_enum)]
    pub(crate) tables: Option<Tables>,
    /// Draw p50 and p99 against the number of routes
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) outcome: Outcome,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TablesLoad {
    #[command(flatten)]
    pub(crate) content: Content,
    /// Measured changes with small tables
    #[arg(long, value_name = "K", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) changes: u32,
    /// Measured changes with plain RDS, which are slow where there are many routes
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rds_changes: u32,
    /// Cold starts of each side; the median counts
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) starts: u32,
    /// Measure the small tables alone
    #[arg(long, conflicts_with = "null")]
    pub(crate) no_rds: bool,
    /// Serve plain RDS on both sides: how far apart equal sides come out on this machine
    #[arg(long)]
    pub(crate) null: bool,
    /// Draw p50 of both against the number of routes, both axes logarithmic
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) outcome: Outcome,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ClusterLoad {
    /// Routes that are made and removed at once
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) attached: u32,
    /// Routes that are made one after another
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) routes: u32,
    /// Measured changes of an endpoint, with all these routes
    #[arg(long, value_name = "K", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) changes: u32,
    /// Services that are made at the same moment as their routes
    #[arg(long, value_name = "K", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) together: u32,
    /// Edits of a route under traffic
    #[arg(long, value_name = "K", default_value_t = 180, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) edits: u32,
    /// Measured changes of the floor, a null control plane beside the cluster; 0 leaves it out
    #[arg(long, value_name = "K", default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) floor_changes: u32,
    /// An address of this machine that proxies reach, for the backends
    #[arg(long, value_name = "IP", default_value = "10.64.0.1")]
    pub(crate) node: std::net::IpAddr,
    #[command(flatten)]
    pub(crate) outcome: Outcome,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RequestsLoad {
    /// Number of routes where there are many
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(crate) routes: u32,
    /// Which cases to measure
    #[arg(long, value_name = "CASE,...", value_enum, value_delimiter = ',',
          default_values_t = [Case::OneHost, Case::Few, Case::FewBackend, Case::Many])]
    pub(crate) cases: Vec<Case>,
    /// Pairs of measurements
    #[arg(long, value_name = "K", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Length of one measurement
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Keep-alive connections
    #[arg(long, value_name = "K", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) connections: u32,
    /// Serve plain RDS on both sides: how far apart equal sides come out on this machine
    #[arg(long)]
    pub(crate) null: bool,
    #[command(flatten)]
    pub(crate) outcome: Outcome,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RefusalsLoad {
    /// Edits of each way of serving routes
    #[arg(long, value_name = "K", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) edits: u32,
    /// Decides which edits
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// How Envoy is served routes [default: both ways, one after the other]
    #[arg(long, value_enum)]
    pub(crate) tables: Option<Tables>,
    #[command(flatten)]
    pub(crate) outcome: Outcome,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people
    Table,
    /// One object a run and line
    Json,
}

/// How Envoy is served the routes of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tables {
    /// Small tables, found by the dynamic module
    Scoped,
    /// One table
    Rds,
}

/// What the cost of a request is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// The first and the last route of one host with N routes
    OneHost,
    /// 10 routes, a hostname each, answered by Envoy
    Few,
    /// The same, answered by a backend
    FewBackend,
    /// N routes, a hostname each, answered by Envoy
    Many,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Command};

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
        let cli =
            Cli::try_parse_from(["loadtest", "churn", "--routes", "100,5000", "--hosts", "shared"]).unwrap();
        let Command::Churn(load) = cli.command else { panic!("{cli:?}") };
        assert_eq!((load.content.routes.as_slice(), load.changes), ([100, 5000].as_slice(), 50));
        assert!(Cli::try_parse_from(["loadtest", "churn", "--routes", "3"]).is_err());
        assert!(Cli::try_parse_from(["loadtest", "tables", "--routes", "100000", "--hosts", "none"]).is_ok());
        assert!(Cli::try_parse_from(["loadtest", "tables", "--no-rds", "--null"]).is_err());
        assert!(Cli::try_parse_from(["loadtest", "requests", "--cases", "few,one-host"]).is_ok());
    }
}
