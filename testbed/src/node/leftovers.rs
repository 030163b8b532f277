//! Processes that an earlier run of this node left behind.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Environment variable of each process that the node starts itself; its value is the node's directory.
pub(super) const MARK: &str = "TESTBED_NODE_DIR";

/// Ends what carries this node's mark, and removes the directories of its pods.
///
/// Processes that such a process started in its PID namespace end with it.
///
/// # Errors
/// `/proc` can't be read.
pub(super) fn end(dir: &Path) -> std::io::Result<()> {
    let mut mark = MARK.as_bytes().to_vec();
    mark.push(b'=');
    mark.extend_from_slice(dir.as_os_str().as_bytes());
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|variable| variable == mark)
            && pid != std::process::id() as i32
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for kind in ["pods", "logs"] {
        match std::fs::remove_dir_all(dir.join(kind)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_processes_with_this_mark_end() {
        let ours = tempfile::tempdir().unwrap();
        let theirs = tempfile::tempdir().unwrap();
        let start = |dir: &Path| {
            Command::new("cat").env(MARK, dir).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
        };
        let (mut left, mut other) = (start(ours.path()), start(theirs.path()));
        std::fs::create_dir_all(ours.path().join("pods/x")).unwrap();
        end(ours.path()).unwrap();
        assert_eq!(left.wait().unwrap().signal(), Some(9));
        drop(other.stdin.take());
        assert!(other.wait().unwrap().success(), "the other node's process reads to its end");
        assert!(!ours.path().join("pods").exists());
    }
}
