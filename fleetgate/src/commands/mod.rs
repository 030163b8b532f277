//! One file a command.

mod bootstrap;
mod check;
mod diff;
mod get;
mod log;
pub(crate) mod standalone;
mod table;
mod translate;
mod version;

use std::io::Write;

use clap::CommandFactory;

use crate::args::{Cli, Command};
use crate::client::Client;

/// Runs a command; true if all is well.
///
/// # Errors
/// A sentence for the user.
pub(crate) fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Standalone(args) => standalone::run(*args)?,
        Command::Translate(args) => return translate::run(&args),
        Command::Bootstrap(args) => bootstrap::run(&args)?,
        Command::Get(args) => block_on(get::run(args))?,
        Command::Log(args) => block_on(log::run(args))?,
        Command::Diff(args) => block_on(diff::run(args))?,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "fleetgate", &mut std::io::stdout());
        }
        Command::Check(args) => return block_on(check::run(args)),
        Command::Version(args) => version::run(&args)?,
    }
    Ok(true)
}

/// A small runtime for commands that only ask.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// Each replica has a log of its own: its revisions are not those of another.
fn tell_whose(client: &Client) {
    if let Some(pod) = client.pod() {
        eprintln!("revisions are those of pod {pod}; ask it again with --pod {pod}");
    }
}

/// Writes to standard output. A reader that has had enough, like `head`, is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}
