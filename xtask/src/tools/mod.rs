//! Pinned programs that the tests, the demo and the test bed need, fetched or built into `.tools/`.

use std::path::PathBuf;

use crate::command::{cargo, command, run, works};
use crate::{Outcome, root};

mod envoy;
mod gateway_api;
mod go;
mod kubectl;
mod kubernetes;
mod pip;

pub(crate) use envoy::envoy;
pub(crate) use gateway_api::{GATEWAY_API_VERSION, definitions, suite};
pub(crate) use kubernetes::nats_server;

/// Version of cargo-deny.
const CARGO_DENY: &str = "0.20.2";

/// What a tool is called, and how to get its path.
type Tool = (&'static str, fn() -> Outcome<PathBuf>);

const TOOLS: [Tool; 9] = [
    ("envoy", envoy),
    ("etcd", kubernetes::etcd),
    ("kube-apiserver", kubernetes::api_server),
    ("kube-controller-manager", kubernetes::controller_manager),
    ("kubectl", kubectl::kubectl),
    ("helm", kubectl::helm),
    ("echo-basic", gateway_api::echo_basic),
    ("nats-server", kubernetes::nats_server),
    ("conformance", gateway_api::pinned_suite),
];

pub(crate) fn run_tools(print: Option<&str>) -> Outcome {
    match print {
        Some(wanted) => {
            let tool = TOOLS.iter().find(|(name, _)| *name == wanted).ok_or_else(|| {
                let names: Vec<&str> = TOOLS.iter().map(|(name, _)| *name).collect();
                format!("no tool is named {wanted}; --print knows {}", names.join(", "))
            })?;
            println!("{}", tool.1()?.display());
        }
        None => {
            for (name, path) in TOOLS {
                eprintln!("{name}: {}", path()?.display());
            }
            eprintln!("definitions of the Gateway API: {}", gateway_api::pinned_definitions()?.display());
        }
    }
    Ok(())
}

/// Programs of the system that a test bed uses, and Debian's packages of them.
const SYSTEM: [(&str, &str); 4] =
    [("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux"), ("curl", "curl")];

/// All that a test bed needs.
pub(crate) fn testbed() -> Outcome {
    let missing: Vec<&str> = SYSTEM
        .into_iter()
        .filter(|(program, _)| {
            !works(&mut command(program, &["--version"])) && !works(&mut command(program, &["-V"]))
        })
        .map(|(_, package)| package)
        .collect();
    if !missing.is_empty() {
        eprintln!("the test bed needs {}; adding them with apt-get", missing.join(", "));
        let install = [&["install", "-y", "-qq"], &missing[..]].concat();
        if !works(&mut command("apt-get", &["update", "-qq"])) || !works(&mut command("apt-get", &install)) {
            let missing = missing.join(" ");
            return Err(format!(
                "the test bed needs programs that are missing and could not be added: as root, run \
                 `apt-get update && apt-get install {missing}` (or your system's like), and run this again"
            ));
        }
    }
    for path in [
        kubernetes::etcd,
        kubernetes::api_server,
        kubernetes::controller_manager,
        kubectl::kubectl,
        kubectl::helm,
        gateway_api::echo_basic,
        kubernetes::nats_server,
        gateway_api::pinned_definitions,
    ] {
        path()?;
    }
    Ok(())
}

/// Path of the pinned cargo-deny, built first if it is not there.
pub(crate) fn cargo_deny() -> Outcome<PathBuf> {
    let tools = root().join(".tools");
    let path = tools.join("bin/cargo-deny");
    let version = command(&path, &["--version"]).output();
    if version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(CARGO_DENY)) {
        return Ok(path);
    }
    let package = format!("cargo-deny@{CARGO_DENY}");
    // Without optimisation it is built in half the time, and takes a second longer to run.
    run(&mut cargo(&["install", "--debug", "--locked", "--root", &tools.to_string_lossy(), &package]))?;
    Ok(path)
}
