//! `fleetgate version`.

use serde_json::json;

use super::check::GATEWAY_API;
use super::print;
use crate::args::Version;

/// The Envoy that it is made for.
const ENVOY: &str = "1.40";

pub(super) fn run(args: &Version) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    match args.output {
        None => print(&format!("fleetgate {version}\n")),
        Some(_) => {
            let told = json!({"version": version, "gatewayApi": GATEWAY_API, "envoy": ENVOY});
            print(&(serde_json::to_string_pretty(&told)? + "\n"))
        }
    }
}
