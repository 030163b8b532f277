//! A container's processes.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use super::script::{Launch, STARTED};
use crate::node::leftovers::MARK;
use crate::node::logs::Log;

/// A running container. When it is dropped, all its processes end.
pub(crate) struct Process {
    /// `unshare`, which waits for the container's first process and takes it along when it ends.
    wrapper: Child,
    /// The container's first process, from outside; none if it ended before it could be looked up.
    first: Option<(i32, OwnedFd)>,
    launch: Launch,
    pub(crate) started: Timestamp,
}

impl Process {
    /// Starts the program in the namespaces of `pause`.
    ///
    /// # Errors
    /// The root could not be made: the sentence has what the tools said.
    pub(crate) async fn start(
        pause: u32,
        dir: &Path,
        launch: Launch,
        log: Log,
        mark: &Path,
    ) -> Result<Process, String> {
        let failed = |error: std::io::Error| format!("the container can't be started: {error}");
        std::fs::create_dir_all(&launch.mount_point).map_err(failed)?;
        let file = dir.join("start.sh");
        std::fs::write(&file, launch.script()).map_err(failed)?;
        let mut wrapper = Command::new("setpriv")
            .args(["--pdeathsig", "SIGKILL", "nsenter", "-t", &pause.to_string(), "--net", "--uts", "--ipc"])
            .args(["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "sh"])
            .arg(&file)
            .env(MARK, mark)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (Some(stdout), Some(stderr)) = (wrapper.stdout.take(), wrapper.stderr.take()) else {
            return Err("invariant: the container's output is piped".into());
        };
        let mut stdout = BufReader::with_capacity(16 << 10, stdout);
        if !is_started(&mut stdout).await {
            let mut said = String::new();
            let _ = tokio::io::AsyncReadExt::read_to_string(&mut BufReader::new(stderr), &mut said).await;
            let _ = wrapper.kill().await;
            return Err(format!("the container's root can't be made: {}", said.trim()));
        }
        tokio::spawn(log.clone().write("stdout", stdout));
        tokio::spawn(log.write("stderr", BufReader::with_capacity(16 << 10, stderr)));
        let first = first_process(&wrapper);
        Ok(Process { wrapper, first, launch, started: Timestamp::now() })
    }

    /// Waits for the container's first process. Can be called again when it was cancelled.
    pub(crate) async fn wait(&mut self) -> Exit {
        match self.wrapper.wait().await {
            Ok(status) => Exit::from(status),
            Err(_) => Exit::KILLED,
        }
    }

    /// SIGTERM for the first process.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends all processes and waits for them.
    pub(crate) async fn kill(&mut self) -> Exit {
        self.signal(Signal::KILL);
        match self.wait().await {
            // What `unshare` makes of a child that was killed, as it can't end like that itself.
            Exit { code: 1, signal: None } => Exit::KILLED,
            exit => exit,
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some((_, handle)) = &self.first {
            let _ = pidfd_send_signal(handle, signal);
        }
    }

    /// How to run commands in it, while it lives.
    pub(crate) fn entrance(&self) -> Entrance {
        Entrance { pid: self.first.as_ref().map_or(0, |(pid, _)| *pid), launch: self.launch.clone() }
    }
}

/// Runs commands in a running container.
#[derive(Clone)]
pub(crate) struct Entrance {
    pid: i32,
    launch: Launch,
}

impl Entrance {
    /// A command in the container's namespaces, as its user.
    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new("nsenter");
        let pid = self.pid.to_string();
        command.args(["-t", &pid, "--mount", "--pid", "--net", "--uts", "--ipc", "--root", "--wd=/"]);
        command.args(self.launch.command(words)).kill_on_drop(true);
        command
    }

    /// Starts a command with pipes to all that it reads and writes.
    pub(crate) fn spawn(&self, words: &[String]) -> std::io::Result<Child> {
        self.command(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }

    /// Connects to a port of the pod, on its loopback interface.
    pub(crate) async fn connect(&self, port: u16) -> std::io::Result<TcpStream> {
        let pid = self.pid;
        let (connected, stream) = tokio::sync::oneshot::channel::<std::io::Result<std::net::TcpStream>>();
        // A socket belongs to the namespace that its thread is in; this thread has no other use.
        std::thread::spawn(move || {
            let connect = || -> std::io::Result<_> {
                let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net"))?;
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                let stream = std::net::TcpStream::connect(("127.0.0.1", port))
                    .or_else(|_| std::net::TcpStream::connect(("::1", port)))?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok(stream)
            };
            // Nobody waits any more.
            let _ = connected.send(connect());
        });
        TcpStream::from_std(stream.await.map_err(std::io::Error::other)??)
    }

    /// Runs a command; the error is what it said, or that it took too long.
    pub(crate) async fn exec(&self, words: &[String], limit: Duration) -> Result<(), String> {
        let output = self.command(words).stdin(Stdio::null()).output();
        let output = tokio::time::timeout(limit, output)
            .await
            .map_err(|_| format!("command {words:?} timed out after {} s", limit.as_secs()))?
            .map_err(|error| format!("nsenter can't be started: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        // As kubelet has it: what it says is the reason.
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
        Err(if said.is_empty() { format!("command {words:?} failed ({})", output.status) } else { said })
    }
}

/// How a container, or a command in it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The exit code; 128 and the signal's number, if one ended it.
    pub(crate) code: i32,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
}

impl Exit {
    const KILLED: Exit = Exit { code: 137, signal: Some(9) };
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        Exit { code: status.code().unwrap_or_else(|| 128 + signal.unwrap_or(9)), signal }
    }
}

async fn is_started(stdout: &mut BufReader<ChildStdout>) -> bool {
    let mut line = Vec::new();
    stdout.read_until(b'\n', &mut line).await.is_ok() && line == STARTED
}

fn first_process(wrapper: &Child) -> Option<(i32, OwnedFd)> {
    let parent = wrapper.id()?;
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let pid: i32 = children.split_whitespace().next()?.parse().ok()?;
    Some((pid, pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?))
}
