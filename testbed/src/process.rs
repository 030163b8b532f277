//! Processes by number and start time: a number alone may be somebody else's by now.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// A process of this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its number, as this process sees it.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot.
    started: u64,
}

impl Process {
    /// A process that runs; none if it does not.
    pub(crate) fn of(pid: u32) -> Option<Process> {
        let (state, started) = stat(pid)?;
        (state != 'Z').then_some(Process { pid, started })
    }

    /// This one.
    pub(crate) fn this() -> Option<Process> {
        Process::of(std::process::id())
    }

    pub(crate) fn is_alive(&self) -> bool {
        Process::of(self.pid) == Some(*self)
    }

    /// Sends a signal, if it is still this process.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.is_alive()) {
            // It may end between the look and the signal: then there is nothing to do.
            let _ = kill_process(pid, signal);
        }
    }

    /// True if it ended within `patience`.
    pub(crate) fn ends_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// The first child of it.
    pub(crate) fn child(&self) -> Option<Process> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid)).ok()?;
        Process::of(children.split_whitespace().next()?.parse().ok()?)
    }
}

/// State and start time. The name, in parentheses, may have any character in it.
fn stat(pid: u32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn this_process_is_alive_and_another_with_its_number_is_not_it() {
        let this = Process::this().unwrap();
        assert!(this.is_alive());
        assert!(!Process { started: this.started + 1, ..this }.is_alive());
        assert_eq!(Process::of(u32::MAX), None);
    }
}
