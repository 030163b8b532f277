//! What a person does with beds: up, down, status, shell.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use serde_json::json;

use crate::args::{HELP, Options, required};
use crate::bed::{ClusterDir, Plan};
use crate::{cluster, init, node, supervise};

/// How long a cluster may take to come up, or to go.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs a command line.
///
/// # Errors
/// A sentence.
pub(crate) fn run(mut arguments: pico_args::Arguments) -> anyhow::Result<ExitCode> {
    let command = arguments.subcommand()?;
    let in_runtime = |work: fn(ClusterDir) -> Work, dir: PathBuf| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(work(ClusterDir::at(dir)))
    };
    match command.as_deref() {
        Some("up") => up(&Options::parse(arguments)?),
        Some("down") => down(&Options::parse(arguments)?),
        Some("status") => status(&Options::parse(arguments)?),
        Some("shell") => shell(&Options::parse(arguments)?),
        // Not for people: the processes of a cluster.
        Some("supervise") => {
            in_runtime(|dir| Box::pin(supervise::run(dir)), required(&mut arguments, "--dir")?)
        }
        Some("init") => init::run(&required(&mut arguments, "--dir")?),
        Some("cluster") => in_runtime(|dir| Box::pin(cluster::run(dir)), required(&mut arguments, "--dir")?),
        Some("node") => node::main(arguments).map(|()| ExitCode::SUCCESS),
        None if arguments.contains(["-h", "--help"]) => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => bail!("no command is named {other}\n\n{HELP}"),
        None => bail!("name a command\n\n{HELP}"),
    }
}

type Work = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<ExitCode>>>>;

fn up(options: &Options) -> anyhow::Result<ExitCode> {
    ensure!(rustix::process::geteuid().is_root(), "network namespaces are root's to make: run this as root");
    let dirs =
        (0..options.clusters).map(|number| begin(options, number)).collect::<anyhow::Result<Vec<_>>>()?;
    let begun = Instant::now();
    for dir in &dirs {
        while !dir.ready().exists() {
            if let Some(failure) = dir.failure() {
                bail!("cluster {} did not come up: {failure}", dir.path().display());
            }
            let gone = dir.running().is_ok_and(|running| !running.supervisor.is_alive());
            let log = dir.join("supervisor.log");
            ensure!(!gone, "cluster {} ended; see {}", dir.path().display(), log.display());
            ensure!(
                begun.elapsed() < PATIENCE,
                "no cluster after {PATIENCE:?}; see *.log in {}",
                dir.path().display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("cluster {} is ready after {:.1} s", dir.path().display(), begun.elapsed().as_secs_f64());
    }
    show(options, &dirs)
}

/// Starts the supervisor of a cluster, unless it runs.
fn begin(options: &Options, number: usize) -> anyhow::Result<ClusterDir> {
    let dir = ClusterDir::new(&options.dir, &options.name, number);
    if let Ok(running) = dir.running() {
        if running.supervisor.is_alive() && running.init.is_alive() && dir.failure().is_none() {
            return Ok(dir);
        }
        end(&dir)?;
    }
    fs::create_dir_all(dir.path()).with_context(|| format!("cannot make {}", dir.path().display()))?;
    let room = dir.socket().as_os_str().len();
    ensure!(room < 108, "{} is too long for a Unix socket's path: use --dir", dir.socket().display());
    // Asked for and given back: the supervisor takes it a moment later, or says that it cannot.
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    dir.write_plan(&Plan {
        name: format!("{}-{number}", options.name),
        number,
        port,
        tools: options.tools.clone(),
        images: options.images.clone(),
        definitions: match &options.definitions {
            Some(definitions) => definitions.clone(),
            None => options.tools.join("gateway-api-1.7.0/crds"),
        },
        channel: options.channel.clone(),
        audit: options.audit,
    })?;
    let log = File::create(dir.join("supervisor.log"))?;
    Command::new("setsid")
        .arg("--fork")
        .arg(std::env::current_exe()?)
        .args([OsStr::new("supervise"), OsStr::new("--dir"), dir.path().as_os_str()])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .context("cannot run setsid (of util-linux)")?;
    Ok(dir)
}

fn down(options: &Options) -> anyhow::Result<ExitCode> {
    for dir in ClusterDir::all(&options.dir, &options.name) {
        end(&dir)?;
        eprintln!("cluster {} is down", dir.path().display());
    }
    // Not there, or with files of others: then it stays.
    let _ = fs::remove_dir(options.dir.join(&options.name));
    Ok(ExitCode::SUCCESS)
}

/// Ends a cluster, whatever is left of it, and removes its state.
fn end(dir: &ClusterDir) -> anyhow::Result<()> {
    if let Ok(running) = dir.running() {
        running.supervisor.signal(Signal::TERM);
        if !running.supervisor.ends_within(Duration::from_secs(30)) {
            running.supervisor.signal(Signal::KILL);
        }
        // Without its supervisor it ends by itself.
        if !running.init.ends_within(Duration::from_secs(10)) {
            running.init.signal(Signal::KILL);
        }
        ensure!(
            running.init.ends_within(Duration::from_secs(10))
                && running.supervisor.ends_within(Duration::from_secs(1)),
            "process {} of {} does not end",
            running.init.pid,
            dir.path().display()
        );
    }
    fs::remove_dir_all(dir.path()).with_context(|| format!("cannot remove {}", dir.path().display()))
}

fn status(options: &Options) -> anyhow::Result<ExitCode> {
    show(options, &ClusterDir::all(&options.dir, &options.name))
}

fn show(options: &Options, dirs: &[ClusterDir]) -> anyhow::Result<ExitCode> {
    let state = |dir: &ClusterDir| match dir.running() {
        Ok(running) if running.init.is_alive() && dir.ready().exists() => "Ready".to_owned(),
        Ok(running) if running.init.is_alive() => "Starting".to_owned(),
        _ => format!("Ended: {}", dir.failure().unwrap_or_else(|| "killed".to_owned()).trim()),
    };
    if options.json {
        let clusters = dirs.iter().map(|dir| {
            let plan = dir.plan().ok();
            json!({
                "name": plan.as_ref().map(|plan| &plan.name),
                "state": state(dir),
                "kubeconfig": dir.kubeconfig(),
                "server": plan.as_ref().map(|plan| format!("https://127.0.0.1:{}", plan.port)),
                "pid": dir.running().ok().map(|running| running.init.pid),
            })
        });
        println!("{:#}", json!({"clusters": clusters.collect::<Vec<_>>()}));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<16} {:<10} KUBECONFIG", "CLUSTER", "STATE");
    for dir in dirs {
        let name = dir.plan().map_or_else(|_| "?".to_owned(), |plan| plan.name);
        println!("{name:<16} {:<10} {}", state(dir), dir.kubeconfig().display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Enters the namespaces of a cluster; returns only if that fails.
fn shell(options: &Options) -> anyhow::Result<ExitCode> {
    let dir = ClusterDir::new(&options.dir, &options.name, options.cluster);
    let running = dir.running().ok().filter(|running| running.init.is_alive());
    let running = running.with_context(|| {
        format!("cluster {} of bed {} does not run: `testbed up` starts it", options.cluster, options.name)
    })?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths([options.tools.join("bin")].into_iter().chain(std::env::split_paths(&path)))?;
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let command = if options.command.is_empty() { vec![shell] } else { options.command.clone() };
    let error = Command::new("nsenter")
        .arg(format!("--target={}", running.init.pid))
        .args(["--net", "--mount", "--pid", "--uts", "--ipc"])
        // Another mount namespace begins at its root.
        .arg(format!("--wdns={}", std::env::current_dir()?.display()))
        .arg("--")
        .args(command)
        .env("KUBECONFIG", dir.kubeconfig())
        .env("PATH", path)
        .exec();
    Err(error).context("cannot run nsenter (of util-linux)")
}
