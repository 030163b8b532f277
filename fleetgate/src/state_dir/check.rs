//! Whether the directory is still the one that was opened, and can be written: nothing else tells before it is too
//! late.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::status::Statuses;

const EACH: Duration = Duration::from_secs(2);
/// Written and removed each time.
const PROBE: &str = "probe";

/// Tells the statuses what is wrong, when it is and when it is no more. Never ends.
pub(crate) async fn watch(directory: PathBuf, statuses: Arc<Statuses>) {
    let opened = Opened::new(&directory);
    loop {
        let opened = opened.clone();
        let problem = tokio::task::spawn_blocking(move || opened.problem()).await;
        let problem =
            problem.unwrap_or_else(|error| Some(format!("the state directory cannot be looked at: {error}")));
        metrics::gauge!(crate::metrics::STATE_DIR).set(if problem.is_none() { 1.0 } else { 0.0 });
        statuses.state_directory(problem);
        tokio::time::sleep(EACH).await;
    }
}

/// The directory, and which files it and its parts were at the start.
#[derive(Clone)]
struct Opened {
    directory: PathBuf,
    parts: Vec<(PathBuf, Option<(u64, u64)>)>,
}

impl Opened {
    fn new(directory: &Path) -> Opened {
        let parts = [directory.to_owned(), directory.join("log"), directory.join("lock")];
        Opened {
            directory: directory.to_owned(),
            parts: parts.map(|part| (part.clone(), identity(&part))).into(),
        }
    }

    fn problem(&self) -> Option<String> {
        if let Some((part, _)) = self.parts.iter().find(|(part, opened)| identity(part) != *opened) {
            return Some(format!(
                "{} of the state directory is gone or replaced: what is acknowledged from now on may be lost with \
                 a restart; put it back, or restart fleetgate, which makes it anew (Envoys of your own need a new \
                 bootstrap then)",
                part.display()
            ));
        }
        probe(&self.directory.join(PROBE)).err().map(|error| {
            format!(
                "the state directory {} cannot be written ({error}): make it writable, or free some space",
                self.directory.display()
            )
        })
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn probe(file: &Path) -> std::io::Result<()> {
    let mut probe = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(file)?;
    let written = probe.write_all(b"x");
    fs::remove_file(file).and(written)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Opened, PROBE};

    #[test]
    fn what_is_wrong_is_told_until_it_is_mended() {
        let outer = tempfile::tempdir().unwrap();
        let (directory, aside) = (outer.path().join("state"), outer.path().join("aside"));
        fs::create_dir_all(directory.join("log")).unwrap();
        fs::write(directory.join("lock"), "1").unwrap();
        let opened = Opened::new(&directory);
        assert_eq!(opened.problem(), None);
        fs::rename(&directory, &aside).unwrap();
        assert!(opened.problem().unwrap().contains("gone"));
        fs::create_dir_all(directory.join("log")).unwrap();
        fs::write(directory.join("lock"), "2").unwrap();
        assert!(opened.problem().unwrap().contains("replaced"));
        fs::remove_dir_all(&directory).unwrap();
        fs::rename(&aside, &directory).unwrap();
        assert_eq!(opened.problem(), None);
        // Writing fails here for root, too.
        fs::create_dir(directory.join(PROBE)).unwrap();
        assert!(opened.problem().unwrap().contains("cannot be written"));
        fs::remove_dir(directory.join(PROBE)).unwrap();
        assert_eq!(opened.problem(), None);
        fs::rename(directory.join("log"), directory.join("old")).unwrap();
        assert!(opened.problem().unwrap().contains("log"));
    }
}
