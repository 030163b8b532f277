//! fleetgate: an event-sourced control plane for Envoy gateways.

mod admin;
mod args;
mod causes;
mod client;
mod commands;
mod envoy;
#[cfg(test)]
mod features_page;
mod hardening;
mod hints;
mod kubernetes;
mod listen;
mod metrics;
mod pki;
mod resources;
mod state_dir;
mod status;
mod time;
mod token;
mod yaml;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match commands::run(cli.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fleetgate: {}", causes::causes(&error));
            ExitCode::FAILURE
        }
    }
}
