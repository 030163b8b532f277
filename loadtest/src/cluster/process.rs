//! A process of somebody else's, by `/proc`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};

/// Clock ticks a second, as Linux shows them to programs.
const TICKS: u64 = 100;

/// A process that is watched.
pub(super) struct Watched {
    dir: PathBuf,
}

impl Watched {
    /// The process whose command line has both words.
    ///
    /// # Errors
    /// If there is none here: the load test must run in the cluster's namespaces.
    pub(super) fn find(program: &str, argument: &str) -> anyhow::Result<Watched> {
        for entry in fs::read_dir("/proc")?.flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            let is_program = words.next().is_some_and(|first| first.rsplit('/').next() == Some(program));
            if is_program && words.any(|word| word == argument) {
                return Ok(Watched { dir: entry.path() });
            }
        }
        Err(anyhow!("no process `{program} {argument}` is here; run this by `cargo xtask testbed shell`"))
    }

    /// Time on CPUs.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(self.dir.join("stat"))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("/proc/PID/stat has no times")?;
        Ok(Duration::from_millis((user + system) * 1000 / TICKS))
    }

    /// Resident memory.
    pub(super) fn memory_mib(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(self.dir.join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib / 1024.0)
    }
}
