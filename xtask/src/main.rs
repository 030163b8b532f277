//! Chores of the workspace: `cargo xtask tools | test | lint | demo | testbed | conformance`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod command;
mod conformance;
mod demo;
mod lint;
mod programs;
mod test;
mod testbed;
mod tools;

/// What a chore ends with: done, or a sentence for the person who ran it.
type Outcome<T = ()> = Result<T, String>;

const HELP: &str = "\
Chores of the fleetgate workspace.

  cargo xtask demo [--once]           the quickstart example, live, through a real Envoy; --once ends it, for CI
  cargo xtask tools [--print TOOL]    fetch and build the pinned programs into .tools/; --print makes one of them and
                                      prints its path: envoy, etcd, kube-apiserver, kube-controller-manager, kubectl,
                                      helm, echo-basic, nats-server, conformance
  cargo xtask test [--quick] [--build-only]
                                      fetch what the tests need, run all of them; --quick leaves out slow ones,
                                      --build-only fetches and builds all and runs none. The last line is
                                      `N passed, N failed, N skipped`; with CI=true a skip is a failure
  cargo xtask testbed up|down|status|shell ...
                                      real Kubernetes control planes in network namespaces: testbed/README.md
  cargo xtask conformance [--profile NAME,...] [--run TEST] [--channel standard|experimental]
                    [--suite VERSION] [--core] [--keep]
                                      the official Gateway API suite against real Envoy pods in a test bed, by default
                                      of profile GATEWAY-HTTP, with a report in conformance/reports/; --core leaves out
                                      extended features, --keep leaves the test bed
  cargo xtask lint                    format, clippy, licences and sources, longest files
";

fn main() -> ExitCode {
    match run(pico_args::Arguments::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: pico_args::Arguments) -> Outcome {
    let chore = arguments.subcommand().map_err(|error| error.to_string())?;
    if chore.as_deref() == Some("testbed") {
        return testbed::run_testbed(&arguments.finish());
    }
    if chore.as_deref() == Some("conformance") && !arguments.contains(["-h", "--help"]) {
        return conformance::run(&conformance::Options::of(arguments)?);
    }
    let print: Option<String> = arguments.opt_value_from_str("--print").map_err(|error| error.to_string())?;
    let quick = arguments.contains("--quick");
    let build_only = arguments.contains("--build-only");
    let once = arguments.contains("--once");
    let help = arguments.contains(["-h", "--help"]);
    let rest = arguments.finish();
    if !rest.is_empty() {
        return Err(format!("{rest:?} is not understood\n\n{HELP}"));
    }
    match chore.as_deref() {
        _ if help => {
            print!("{HELP}");
            Ok(())
        }
        Some("demo") => demo::run(once),
        Some("tools") => tools::run_tools(print.as_deref()),
        Some("test") => test::run(&test::Options { quick, build_only }),
        Some("lint") => lint::run_lint(),
        Some(other) => Err(format!("no chore is named {other}\n\n{HELP}")),
        None => Err(format!("name a chore\n\n{HELP}")),
    }
}

/// The workspace's directory.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
