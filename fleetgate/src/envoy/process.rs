//! One running Envoy: started by this process, or adopted from an earlier one.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::files::Files;

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// What to run for a Gateway.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its worker threads.
    pub(crate) concurrency: u32,
    /// Folder of its module, if it has one.
    pub(crate) module: Option<PathBuf>,
    /// Where its files are.
    pub(crate) files: Files,
    /// Its bootstrap.
    pub(crate) bootstrap: String,
}

/// A live process.
#[derive(Debug)]
pub(crate) enum Process {
    /// Our child: must be waited for.
    Child(Child),
    /// Another one's, and a sender that is dropped when it ends.
    Adopted(Pid, oneshot::Receiver<()>),
}

impl Process {
    /// Takes over the Envoy that an earlier fleetgate left, if it lives and has the same bootstrap.
    pub(crate) fn adopt(spec: &Spec) -> Option<Process> {
        let pid: i32 = fs::read_to_string(&spec.files.pid).ok()?.trim().parse().ok()?;
        let pid = Pid::from_raw(pid)?;
        // Opened before looking at the command line, so that what is looked at is what is held.
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        if !runs_with(pid, &spec.files.bootstrap) {
            return None;
        }
        if fs::read_to_string(&spec.files.bootstrap).ok().as_deref() != Some(&spec.bootstrap) {
            // It asks at another address or with an old token: it must start anew.
            let _ = kill_process(pid, Signal::KILL);
            return None;
        }
        Some(Process::Adopted(pid, end_of(descriptor)?))
    }

    /// Starts the program in a process group of its own, so that a ctrl-c for fleetgate, or its death,
    /// does not end it.
    ///
    /// # Errors
    /// If its files cannot be written or it cannot be run.
    pub(crate) fn start(spec: &Spec) -> io::Result<Process> {
        spec.files.clear();
        write_private(&spec.files.bootstrap, &spec.bootstrap)?;
        let log = spec.files.open_log()?;
        let mut command = Command::new(&spec.program);
        command
            .arg("-c")
            .arg(&spec.files.bootstrap)
            .arg("--disable-hot-restart")
            .args(["--concurrency", &spec.concurrency.to_string()])
            .args(["--log-level", "warning"])
            // Connections that are to end are asked to with their next answer.
            .args(["--drain-strategy", "immediate"])
            .current_dir(spec.files.dir())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        if let Some(folder) = &spec.module {
            command.env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", folder);
        }
        let child = command.spawn()?;
        if let Some(pid) = child.id() {
            write_private(&spec.files.pid, &pid.to_string())?;
        }
        Ok(Process::Child(child))
    }

    /// Its process id, none if it has ended.
    pub(crate) fn id(&self) -> Option<Pid> {
        match self {
            Process::Child(child) => child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)),
            Process::Adopted(pid, _) => Some(*pid),
        }
    }

    /// Waits for its end; says how it ended as far as that is known.
    pub(crate) async fn ended(&mut self) -> String {
        match self {
            Process::Child(child) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            Process::Adopted(_, end) => {
                // Either way the watching thread has seen the end.
                let _ = end.await;
                "ended".to_owned()
            }
        }
    }

    /// Ends it: SIGTERM, and SIGKILL if it is still there after five seconds.
    pub(crate) async fn end(mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(GRACE, self.ended()).await.is_err() {
            self.signal(Signal::KILL);
            self.ended().await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.id() {
            // It fails only if the process is gone, which is what is wanted.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Waits on a thread of its own, for the process is nobody's child here. The thread may outlive all
/// interest in it: an Envoy that is left running ends after this process.
fn end_of(process: OwnedFd) -> Option<oneshot::Receiver<()>> {
    let (end, ended) = oneshot::channel::<()>();
    let wait = move || {
        let _end = end;
        // A process's descriptor is readable once it has ended; a signal may interrupt the wait.
        while let Err(rustix::io::Errno::INTR) = poll(&mut [PollFd::new(&process, PollFlags::IN)], None) {}
    };
    std::thread::Builder::new().name("adopted-envoy".to_owned()).stack_size(64 << 10).spawn(wait).ok()?;
    Some(ended)
}

/// True if a process has `bootstrap` among its arguments; process ids are used again, paths are ours.
fn runs_with(pid: Pid, bootstrap: &Path) -> bool {
    let arguments = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    arguments.split(|&byte| byte == 0).any(|argument| argument == bootstrap.as_os_str().as_bytes())
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use io::Write;
    let draft = path.with_extension("new");
    let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    fs::rename(draft, path)
}
