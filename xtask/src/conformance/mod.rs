//! `cargo xtask conformance`: the official Gateway API suite, unmodified, against real Envoy pods in a test bed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::testbed::Bed;
use crate::{Outcome, programs, root, testbed, tools};

mod evidence;
mod features;
mod install;
mod results;
mod suite;

use results::Results;
use suite::Suite;

/// Failed tests that are run once more for evidence, at most.
const EXAMINED: usize = 5;

/// What the command line asks for.
pub(crate) struct Options {
    /// Profiles, comma-separated.
    profiles: String,
    /// One test, by its short name.
    test: Option<String>,
    /// Release channel of the Gateway API that is installed.
    channel: String,
    /// Version of the suite, without `v`.
    version: String,
    /// Core features only.
    core: bool,
    /// The bed stays.
    keep: bool,
}

impl Options {
    pub(crate) fn of(mut arguments: pico_args::Arguments) -> Outcome<Options> {
        let text = |error: pico_args::Error| error.to_string();
        let profiles = arguments.opt_value_from_str("--profile").map_err(text)?;
        let test = arguments.opt_value_from_str("--run").map_err(text)?;
        let channel: Option<String> = arguments.opt_value_from_str("--channel").map_err(text)?;
        let version: Option<String> = arguments.opt_value_from_str("--suite").map_err(text)?;
        let options = Options {
            profiles: profiles.unwrap_or_else(|| "GATEWAY-HTTP".to_owned()),
            test,
            channel: channel.unwrap_or_else(|| "standard".to_owned()),
            version: version.map_or_else(
                || tools::GATEWAY_API_VERSION.to_owned(),
                |version| version.trim_start_matches('v').to_owned(),
            ),
            core: arguments.contains("--core"),
            keep: arguments.contains("--keep"),
        };
        if !["standard", "experimental"].contains(&options.channel.as_str()) {
            return Err(format!("--channel {}: say standard or experimental", options.channel));
        }
        match arguments.finish() {
            rest if rest.is_empty() => Ok(options),
            rest => Err(format!("{rest:?} is not understood; see cargo xtask --help")),
        }
    }
}

/// Runs the suite; an error if a test failed.
pub(crate) fn run(options: &Options) -> Outcome {
    tools::testbed()?;
    let program = tools::suite(&options.version)?;
    programs::build()?;
    programs::build_testbed()?;
    let folder = testbed::target().join("conformance");
    let _ = fs::remove_dir_all(failures());
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let results = in_a_bed(options, options.keep, |bed| {
        let suite = Suite { program: &program, options, bed, features: features::of(bed, options)? };
        suite.run(&folder.join("suite.log"), &folder.join("report.yaml"), options.test.as_deref(), true)
    })?;
    for test in results.failed.iter().take(EXAMINED) {
        examine(options, &program, test)?;
    }
    conclude(options, &results, &folder)
}

/// Runs something in a bed with fleetgate in it.
fn in_a_bed<T>(options: &Options, keep: bool, work: impl FnOnce(&Bed) -> Outcome<T>) -> Outcome<T> {
    let bed = Bed::up("conformance", &options.channel, &tools::definitions(&options.version)?)?;
    let done = install::install(&bed).and_then(|()| work(&bed));
    let done = done.map_err(|problem| match keep_evidence(&bed, "setup") {
        Ok(folder) => format!("{problem}; what there was then is in {}", folder.display()),
        Err(_) => problem,
    });
    if keep {
        eprintln!("the bed stays: cargo xtask testbed shell --name conformance, ... down --name conformance");
    } else {
        bed.down()?;
    }
    done
}

/// What is in the bed now, in a folder for it.
fn keep_evidence(bed: &Bed, name: &str) -> Outcome<PathBuf> {
    let folder = failures().join(name);
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    evidence::collect(bed, &folder)?;
    Ok(folder)
}

fn failures() -> PathBuf {
    testbed::target().join("conformance/failures")
}

/// Runs a failed test once more, alone and without clearing up, and keeps what it leaves.
fn examine(options: &Options, program: &Path, test: &str) -> Outcome {
    let folder = failures().join(test);
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    eprintln!("once more, for evidence: {test}");
    in_a_bed(options, false, |bed| {
        let suite = Suite { program, options, bed, features: features::of(bed, options)? };
        let again = suite.run(&folder.join("suite.log"), &folder.join("report.yaml"), Some(test), false)?;
        if again.failed.is_empty() {
            eprintln!("{test} passed this time: it fails only at times, or only after others");
        }
        keep_evidence(bed, test).map(drop)
    })
}

fn conclude(options: &Options, results: &Results, folder: &Path) -> Outcome {
    println!("\n{results}");
    if !results.failed.is_empty() {
        return Err(format!(
            "{} tests failed; what they left is in {}",
            results.failed.len(),
            failures().display()
        ));
    }
    if results.passed.is_empty() {
        return Err(format!("no test ran; see {}", folder.join("suite.log").display()));
    }
    if options.test.is_none() && !options.core {
        let report = keep_report(options, &folder.join("report.yaml"))?;
        println!("report: {}", report.display());
    }
    Ok(())
}

/// Puts the report where reports are kept.
fn keep_report(options: &Options, made: &Path) -> Outcome<PathBuf> {
    let channel = if options.channel == "standard" { "" } else { "-experimental" };
    let name = format!("v{}-{}{channel}.yaml", options.version, options.profiles.replace(',', "-"));
    let report = root().join("conformance/reports").join(name);
    let parent = report.parent().unwrap_or(&report).to_owned();
    fs::create_dir_all(&parent)
        .and_then(|()| fs::copy(made, &report))
        .map_err(|error| format!("cannot write {}: {error}", report.display()))?;
    Ok(report)
}
