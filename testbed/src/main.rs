//! Real Kubernetes control planes without containers: each cluster in namespaces of its own, its pods local processes.

mod args;
mod bed;
mod cluster;
mod commands;
mod control_plane;
mod forward;
mod init;
mod kubeconfig;
mod node;
mod pki;
mod process;
mod supervise;

use std::process::ExitCode;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(tracing::Level::INFO)
        .init();
    match commands::run(pico_args::Arguments::from_env()) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("error: {problem:#}");
            ExitCode::FAILURE
        }
    }
}
