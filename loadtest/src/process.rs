//! Child processes that never outlive the harness, and what the kernel says about them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Pause between two looks; short pauses would show as CPU of whoever is asked.
const ASK_AGAIN: Duration = Duration::from_millis(5);
/// Set by Ctrl-C; every waiting loop looks at it, so that children are always ended by their owners.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Asks all loops to end.
pub(crate) fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// # Errors
/// If the user has asked to stop.
pub(crate) fn check_interrupt() -> anyhow::Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) { bail!("interrupted") } else { Ok(()) }
}

/// A child that is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
    log: std::path::PathBuf,
    started: Instant,
    cpu_by_thread: HashMap<String, u64>,
}

impl Process {
    /// Starts `command` with its output in `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> anyhow::Result<Process> {
        let out = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let err = out.try_clone().context("cannot share the log file")?;
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let cpu_by_thread = HashMap::new();
        Ok(Process { child, name: name.into(), log: log.into(), started, cpu_by_thread })
    }

    /// When it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// # Errors
    /// If it has ended, with the end of its log.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        check_interrupt()?;
        if let Some(status) = self.child.try_wait().context("cannot look after a child")? {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(8).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!("{} ended ({status}); its last words:\n{}", self.name, tail.join("\n"));
        }
        Ok(())
    }

    /// Waits until `ready` gives a value.
    ///
    /// # Errors
    /// If the process ends or `limit` passes first.
    pub(crate) fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut() -> Option<T>,
    ) -> anyhow::Result<T> {
        let until = Instant::now() + limit;
        loop {
            if let Some(value) = ready() {
                return Ok(value);
            }
            self.check_alive()?;
            if Instant::now() > until {
                bail!("{}: no {what} within {} s; see {}", self.name, limit.as_secs(), self.log.display());
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }

    /// CPU time used so far by all threads, nanoseconds. Threads that have ended count with what they
    /// had at the last call.
    pub(crate) fn cpu_ns(&mut self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        for task in tasks.into_iter().flatten().flatten() {
            let used = fs::read_to_string(task.path().join("schedstat")).ok();
            if let Some(used) = used.and_then(|text| text.split(' ').next()?.parse().ok()) {
                self.cpu_by_thread.insert(task.file_name().to_string_lossy().into(), used);
            }
        }
        self.cpu_by_thread.values().sum()
    }

    /// Resident memory now and at its peak, MiB.
    pub(crate) fn memory_mib(&self) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        Memory { now: field_mib(&status, "VmRSS:"), peak: field_mib(&status, "VmHWM:") }
    }

    /// Ends it as a service manager would, by force after ten seconds.
    pub(crate) fn stop(&mut self) {
        let pid = self.child.id().to_string();
        // std has no SIGTERM; the coreutils have.
        let asked = Command::new("kill").args(["-TERM", &pid]).status().is_ok_and(|status| status.success());
        let until = Instant::now() + Duration::from_secs(10);
        while asked && Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Resident memory, MiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    pub(crate) peak: f64,
}

fn field_mib(status: &str, field: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Process, field_mib};

    #[test]
    fn memory_is_read_from_the_status_file() {
        let status = "Name:\tx\nVmHWM:\t    4096 kB\nVmRSS:\t    2048 kB\n";
        assert!((field_mib(status, "VmRSS:") - 2.0).abs() < 1e-9);
        assert!((field_mib(status, "VmHWM:") - 4.0).abs() < 1e-9);
        assert!(field_mib(status, "VmSwap:").abs() < 1e-9);
    }

    #[test]
    fn a_child_that_ends_early_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such flag >&2; exit 3"]);
        let mut child = Process::start("sh", &mut command, &dir.path().join("log")).unwrap();
        let limit = std::time::Duration::from_secs(60);
        let error = child.wait_for("sign", limit, || None::<()>).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("no such flag"), "{error}");
    }

    #[test]
    fn dropping_ends_the_child() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("600");
        let child = Process::start("sleep", &mut command, &dir.path().join("log")).unwrap();
        let path = format!("/proc/{}", child.child.id());
        assert!(std::path::Path::new(&path).exists());
        drop(child);
        assert!(!std::path::Path::new(&path).exists());
    }
}
