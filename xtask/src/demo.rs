//! `cargo xtask demo`: the quickstart example, live.

mod config;
mod edit;
mod http;
mod interrupt;
mod ports;
mod process;
mod traffic;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use self::config::Quickstart;
use self::interrupt::Interrupt;
use self::process::{ManagedEnvoys, Running};
use crate::{Outcome, programs, tools};

/// Longest wait for `/readyz`; it takes a second, but machines differ.
const READY: Duration = Duration::from_secs(180);

/// Runs the demo; with `once` it ends by itself.
pub(crate) fn run(once: bool) -> Outcome {
    let interrupt = Interrupt::install()?;
    // One waits for the network, the other for the processor.
    let (programs, envoy) = std::thread::scope(|scope| {
        let envoy = scope.spawn(tools::envoy);
        (programs::build(), envoy.join())
    });
    interrupt.check()?;
    let (programs, envoy) = (programs?, envoy.map_err(|_| "fetching Envoy panicked".to_owned())??);

    let folder = tempfile::Builder::new()
        .prefix("fleetgate-demo-")
        .tempdir()
        .map_err(|error| format!("cannot create a temporary directory: {error}"))?;
    let (quickstart, servers) = config::copy(&folder.path().join("config"))?;
    let state = folder.path().join("state");
    // Locals are dropped in reverse order: the processes, Envoys left by a crash, the directory.
    let _envoys = ManagedEnvoys::of(&state);
    let mut running = start_backends(&programs.echo, &quickstart, folder.path())?;
    let mut standalone = Command::new(&programs.fleetgate);
    standalone.arg("standalone").arg("--config").arg(&quickstart.config).arg("--state-dir").arg(&state);
    standalone.args(["--admin", &servers.admin.to_string(), "--xds", &servers.xds.to_string()]);
    standalone.arg("--envoy").arg(&envoy);
    eprintln!("+ {}", crate::command::describe(&standalone));
    // First in the list, so that it ends before its backends.
    running.insert(0, Running::start("fleetgate", &mut standalone, folder.path())?);

    let wrong = show(&quickstart, servers.admin, &mut running, &interrupt)?;
    if wrong > 0 {
        println!("\n{}", running[0].last_lines());
    }
    if !once {
        print_urls(&quickstart, servers.admin, &programs.fleetgate, folder.path());
        stay(&mut running, &interrupt)?;
        println!("\nending");
    }
    if wrong == 0 { Ok(()) } else { Err(format!("{wrong} answers were not as expected (see above)")) }
}

fn start_backends(echo: &Path, quickstart: &Quickstart, folder: &Path) -> Outcome<Vec<Running>> {
    let start = |(name, address): (&'static str, SocketAddr)| {
        let mut command = Command::new(echo);
        command.args(["--name", name, "--listen", &address.to_string()]);
        Running::start(name, &mut command, folder)
    };
    [("blue", quickstart.blue), ("green", quickstart.green)].into_iter().map(start).collect()
}

/// Shows requests, the edit and its delta; returns how many answers were wrong.
fn show(
    quickstart: &Quickstart,
    admin: SocketAddr,
    running: &mut [Running],
    interrupt: &Interrupt,
) -> Outcome<usize> {
    let started = Instant::now();
    for (address, path) in [(quickstart.blue, "/"), (quickstart.green, "/"), (admin, "/readyz")] {
        wait_until_ready(address, path, running, interrupt)?;
    }
    println!("ready after {:.1} s", started.elapsed().as_secs_f64());
    let mut wrong = traffic::show(quickstart.gateway, interrupt)?;
    wrong += edit::show(quickstart, admin, interrupt)?;
    Ok(wrong)
}

fn wait_until_ready(
    address: SocketAddr,
    path: &str,
    running: &mut [Running],
    interrupt: &Interrupt,
) -> Outcome {
    let limit = Instant::now() + READY;
    loop {
        let missing = match http::get(address, path, &[]) {
            Ok(answer) if answer.status == 200 => return Ok(()),
            Ok(answer) => answer.body.trim().to_owned(),
            Err(problem) => problem,
        };
        all_alive(running, interrupt)?;
        if Instant::now() > limit {
            let seconds = READY.as_secs();
            return Err(format!("not ready after {seconds} s: {missing}\n{}", running[0].last_lines()));
        }
        interrupt.pause(Duration::from_millis(20))?;
    }
}

/// Until Ctrl-C, or until one of the processes dies.
fn stay(running: &mut [Running], interrupt: &Interrupt) -> Outcome {
    while interrupt.pause(Duration::from_millis(100)).is_ok() {
        let alive = all_alive(running, interrupt);
        if interrupt.check().is_ok() {
            alive?;
        }
    }
    Ok(())
}

/// A Ctrl-C reaches the processes, too: then their end is no fault.
fn all_alive(running: &mut [Running], interrupt: &Interrupt) -> Outcome {
    let alive = running.iter_mut().try_for_each(Running::check);
    interrupt.check()?;
    alive
}

fn print_urls(quickstart: &Quickstart, admin: SocketAddr, fleetgate: &Path, folder: &Path) {
    let gateway = quickstart.gateway;
    println!("\n== it stays up until Ctrl-C");
    println!("gateway   http://{gateway}/        curl -H 'x-colour: green' http://{gateway}/");
    println!("status    http://{admin}/status  {} get routes --admin {admin}", fleetgate.display());
    println!("metrics   http://{admin}/metrics");
    println!("config    {}  (edit it)", quickstart.config.display());
    println!("log       {}", folder.join("fleetgate.log").display());
}
