//! `loadtest cluster`: fleetgate as it runs in a cluster, from objects that the API server takes to answers and
//! statuses.

mod api;
mod attached;
mod edits;
mod endpoints;
mod floor;
mod live;
mod process;
mod propagation;
mod together;
mod web;

use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use crate::args::{ClusterLoad, Form};
use crate::check::Check;
use crate::text_table::checks_table;
use api::Api;
use floor::Floor;

/// Names of the two backends.
const BACKENDS: [(&str, u16); 2] = [("blue", 18081), ("green", 18082)];

/// What all scenarios need.
pub(crate) struct Scene {
    api: Api,
    /// Where the Gateway is reached.
    address: IpAddr,
    /// Where the backends are.
    node: IpAddr,
    /// The control plane.
    fleetgate: process::Watched,
    _backends: Vec<Backend>,
}

struct Backend(Child);

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures, and prints what was asked and what was reached.
///
/// # Errors
/// If there is no cluster with fleetgate in it, or something there does not answer.
pub(crate) fn run(load: &ClusterLoad) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let checks = runtime.block_on(measure(load))?;
    drop(runtime);
    let floor = match load.floor_changes {
        0 => None,
        changes => {
            eprintln!("{changes} changes of the floor");
            Some(Floor::measure(load)?)
        }
    };
    match load.outcome.output {
        Form::Table => {
            print!("{}", checks_table(&checks));
            if let Some(floor) = floor {
                println!("{}", floor.to_line());
            }
        }
        Form::Json => {
            let check = |check: &Check| json!({"what": check.what, "target": check.target, "reached": check.reached, "ok": check.ok});
            let checks: Vec<_> = checks.iter().map(check).collect();
            println!("{:#}", json!({"checks": checks, "floor": floor.map(|floor| floor.to_json())}));
        }
    }
    let failed = load.outcome.check && checks.iter().any(|check| !check.ok);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn measure(load: &ClusterLoad) -> anyhow::Result<Vec<Check>> {
    let api = Api::connect().await?;
    eprintln!("two backends, a Gateway");
    let backends =
        BACKENDS.iter().map(|(name, port)| backend(load, name, *port)).collect::<Result<_, _>>()?;
    api.apply_base(load.node, BACKENDS[0].1).await?;
    let address = api.address(Duration::from_secs(60)).await?;
    let fleetgate = process::Watched::find("fleetgate", "standalone")?;
    let scene = Scene { api, address, node: load.node, fleetgate, _backends: backends };
    let mut checks = Vec::new();
    let done = scenarios(&scene, load, &mut checks).await;
    scene.api.delete_base().await?;
    done.map(|()| checks)
}

async fn scenarios(scene: &Scene, load: &ClusterLoad, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    eprintln!("{} routes at once", load.attached);
    attached::measure(scene, load.attached as usize, checks).await?;
    eprintln!("{} routes, one after another", load.routes);
    propagation::measure(scene, load.routes as usize, checks).await?;
    eprintln!("{} changes of an endpoint", load.changes);
    endpoints::measure(scene, load.changes as usize, checks).await?;
    eprintln!("{} Services, each together with its route", load.together);
    together::measure(scene, load.together as usize, checks).await?;
    eprintln!("{} edits of a route under traffic", load.edits);
    edits::measure(scene, load.edits as usize, checks).await?;
    checks.push(at_most("resident memory with these routes, MiB", 95.4, scene.fleetgate.memory_mib()?));
    eprintln!("removing the routes");
    attached::remove_all(&scene.api, load.routes as usize).await
}

fn backend(load: &ClusterLoad, name: &str, port: u16) -> anyhow::Result<Backend> {
    let own = std::env::current_exe()?;
    let echo = own.parent().unwrap_or_else(|| Path::new(".")).join("echo");
    let listen = format!("{}:{port}", load.node);
    let child = Command::new(&echo)
        .args(["--listen", &listen, "--name", name])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {}: build it with `cargo build -p loadtest`", echo.display()))?;
    Ok(Backend(child))
}

/// What was asked, and what was reached.
fn at_most(what: &'static str, target: f64, reached: f64) -> Check {
    Check { what, target, reached, ok: reached <= target }
}
