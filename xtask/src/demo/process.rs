//! Processes of the demo: none outlives it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::command::works;

/// Between SIGTERM and SIGKILL. fleetgate gives its Envoys five seconds, so it needs more.
const GRACE: Duration = Duration::from_secs(10);
/// Lines of a dead process's log that are shown.
const LINES: usize = 20;

/// A process that is ended when this is dropped.
pub(super) struct Running {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program; its output goes to `NAME.log` in a directory.
    pub(super) fn start(name: &'static str, command: &mut Command, folder: &Path) -> Outcome<Running> {
        let path = folder.join(format!("{name}.log"));
        let failed = |error: std::io::Error| format!("cannot start {name}: {error}");
        let log = File::create(&path).map_err(failed)?;
        // Settings of the person's own fleetgate must not change this one.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("FLEETGATE_") {
                command.env_remove(variable);
            }
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
        Ok(Running { name, child: command.spawn().map_err(failed)?, log: path })
    }

    /// An error with its last lines, if it has ended.
    pub(super) fn check(&mut self) -> Outcome {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended ({status})\n{}", self.name, self.last_lines())),
            Err(error) => Err(format!("lost sight of {}: {error}", self.name)),
        }
    }

    /// The end of its log.
    pub(super) fn last_lines(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LINES)..];
        format!("last lines of {}:\n  {}", self.name, shown.join("\n  "))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        if !ended(&mut self.child) {
            signal("-TERM", &self.child.id().to_string());
            if !within(GRACE, || ended(&mut self.child)) {
                eprintln!("{} does not end; killing it", self.name);
                // Fails only if it has just ended.
                let _ = self.child.kill();
            }
        }
        let _ = self.child.wait();
    }
}

/// The Envoys of a fleetgate, which outlive it if it crashes; ended when this is dropped.
pub(super) struct ManagedEnvoys(PathBuf);

impl ManagedEnvoys {
    /// Those of a state directory.
    pub(super) fn of(state: &Path) -> ManagedEnvoys {
        ManagedEnvoys(state.join("envoy"))
    }

    /// Process ids in its files, of processes that really run with one of its files.
    fn living(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.0) else { return Vec::new() };
        let files = entries.flatten().map(|entry| entry.path());
        let pids = files.filter(|file| file.extension().is_some_and(|ending| ending == "pid"));
        let pids = pids.filter_map(|file| fs::read_to_string(file).ok()).map(|pid| pid.trim().to_owned());
        pids.filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&*self.0.to_string_lossy())
        })
        .collect()
    }
}

impl Drop for ManagedEnvoys {
    fn drop(&mut self) {
        for name in ["-TERM", "-KILL"] {
            self.living().iter().for_each(|pid| signal(name, pid));
            if within(Duration::from_secs(5), || self.living().is_empty()) {
                return;
            }
        }
    }
}

/// The process may just have ended, which is what is wanted.
fn signal(name: &str, pid: &str) {
    works(Command::new("kill").args([name, pid]));
}

fn within(time: Duration, mut done: impl FnMut() -> bool) -> bool {
    let limit = Instant::now() + time;
    while !done() {
        if Instant::now() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::{Running, within};

    fn shell(script: &str, folder: &std::path::Path) -> Running {
        Running::start("shell", Command::new("sh").args(["-c", script]), folder).unwrap()
    }

    #[test]
    fn a_process_that_died_is_reported_with_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell("echo no such thing >&2; exit 3", folder.path());
        assert!(within(Duration::from_secs(60), || process.check().is_err()));
        let problem = process.check().unwrap_err();
        assert!(problem.contains("no such thing") && problem.contains('3'), "{problem}");
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let process = shell("exec sleep 600", folder.path());
        let entry = format!("/proc/{}", process.child.id());
        assert!(std::path::Path::new(&entry).exists());
        drop(process);
        assert!(!std::path::Path::new(&entry).exists());
    }
}
