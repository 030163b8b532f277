//! What is gone for a moment, or cannot be read for a moment, ends nothing.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ingest::KeyStore;
use ingest::directory::{Batch, Handle, Known, Options, read_once, start};
use proto::Change;
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;

const FOR_EVER: Duration = Duration::from_secs(3600);
const GONE: &str = "files are gone with their directory";

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n"
    )
}

struct Source {
    outer: TempDir,
    config: PathBuf,
    batches: Receiver<Batch>,
    listing: Vec<String>,
    _handle: Handle,
}

/// Watches `config`, in which there are `a.yaml`, `b.yaml` and `sub/c.yaml`, each with the Service of its name.
fn watch(grace: Duration) -> Source {
    let outer = tempfile::tempdir().unwrap();
    let config = outer.path().join("config");
    fill(&config, &["a", "b", "sub/c"]);
    watch_at(outer, config, grace, Vec::new())
}

fn fill(directory: &Path, files: &[&str]) {
    for file in files {
        let path = directory.join(format!("{file}.yaml"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, service(&file[file.len() - 1..], 1)).unwrap();
    }
}

fn watch_at(outer: TempDir, config: PathBuf, grace: Duration, known: Vec<Known>) -> Source {
    let mut options = Options { known, ..Options::new(&config) };
    options.limits.directory_grace = grace;
    options.limits.poll = Duration::from_millis(50);
    let (mut batches, handle) = start(options, Arc::new(KeyStore::new())).unwrap();
    let listing = describe(&batches.blocking_recv().unwrap());
    Source { outer, config, batches, listing, _handle: handle }
}

fn describe(batch: &Batch) -> Vec<String> {
    let events = batch.events.iter().filter_map(|event| match &event.change {
        Change::Upsert(_) => Some(format!("+{}", event.key.name)),
        Change::Delete => Some(format!("-{}", event.key.name)),
        _ => None,
    });
    events.chain(batch.faults.iter().flatten().map(ToString::to_string)).collect()
}

impl Source {
    fn next(&mut self) -> Vec<String> {
        describe(&self.batches.blocking_recv().expect("the source ends only with its handle"))
    }

    /// The next batch reports a loss and deletes nothing.
    fn reports(&mut self, what: &str) {
        let batch = self.next();
        assert!(batch.len() == 1 && batch[0].contains(what), "{batch:?}");
    }

    /// Nothing is held any more, and nothing was deleted.
    fn is_whole(&mut self) {
        assert_eq!(self.next(), [] as [&str; 0]);
        fs::write(self.config.join("z.yaml"), service("z", 1)).unwrap();
        assert_eq!(self.next(), ["+z"]);
    }
}

#[test]
fn an_empty_directory_is_held_and_may_be_filled_again() {
    let mut source = watch(FOR_EVER);
    let aside = source.outer.path().join("aside");
    fs::create_dir(&aside).unwrap();
    for name in ["a.yaml", "b.yaml", "sub"] {
        fs::rename(source.config.join(name), aside.join(name)).unwrap();
    }
    source.reports(GONE);
    for name in ["a.yaml", "sub", "b.yaml"] {
        fs::rename(aside.join(name), source.config.join(name)).unwrap();
    }
    source.is_whole();
}

#[test]
fn an_empty_directory_counts_after_its_grace() {
    let mut source = watch(Duration::from_millis(500));
    for name in ["a.yaml", "b.yaml", "sub/c.yaml"] {
        fs::remove_file(source.config.join(name)).unwrap();
    }
    source.reports(GONE);
    let mut gone = source.next();
    gone.sort();
    assert_eq!(gone, ["-a", "-b", "-c"]);
}

#[test]
fn a_directory_that_is_made_anew_is_held_until_it_is_whole() {
    let mut source = watch(FOR_EVER);
    fs::remove_dir_all(&source.config).unwrap();
    fill(&source.config, &["b"]);
    // It may be seen while it is not there, too.
    while !source.next().iter().any(|fault| fault.contains(GONE)) {}
    fill(&source.config, &["sub/c", "a"]);
    source.is_whole();
}

#[test]
fn a_link_that_leads_elsewhere_is_followed() {
    let outer = tempfile::tempdir().unwrap();
    let config = outer.path().join("config");
    fill(&outer.path().join("v1"), &["a", "b"]);
    fill(&outer.path().join("v2"), &["b", "d"]);
    symlink("v1", &config).unwrap();
    let mut source = watch_at(outer, config, Duration::from_secs(1), Vec::new());
    assert_eq!(source.listing, ["+a", "+b"]);
    symlink("v2", source.outer.path().join("new")).unwrap();
    fs::rename(source.outer.path().join("new"), &source.config).unwrap();
    let mut seen = source.next();
    while seen.len() < 2 {
        seen.extend(source.next());
    }
    assert_eq!(seen[0], "+d");
    assert!(seen[1].contains(GONE), "{seen:?}");
    assert_eq!(source.next(), ["-a"]);
    fs::write(source.config.join("e.yaml"), service("e", 1)).unwrap();
    assert_eq!(source.next(), ["+e"], "it is watched where it is now");
}

#[test]
fn a_config_map_without_its_data_is_held() {
    let outer = tempfile::tempdir().unwrap();
    let config = outer.path().join("config");
    fill(&config.join("..1"), &["a", "b"]);
    symlink("..1", config.join("..data")).unwrap();
    for name in ["a.yaml", "b.yaml"] {
        symlink(format!("..data/{name}"), config.join(name)).unwrap();
    }
    let mut source = watch_at(outer, config, FOR_EVER, Vec::new());
    assert_eq!(source.listing, ["+a", "+b"]);
    fs::remove_file(source.config.join("..data")).unwrap();
    // What shows that the links were looked at: one of them is touched.
    fs::remove_file(source.config.join("a.yaml")).unwrap();
    symlink("..data/a.yaml", source.config.join("a.yaml")).unwrap();
    source.reports(GONE);
    symlink("..1", source.config.join("..data")).unwrap();
    source.is_whole();
}

#[test]
fn another_subdirectory_in_the_place_of_one_is_held() {
    let mut source = watch(FOR_EVER);
    // As if it had been a mount that is lost.
    fs::create_dir(source.outer.path().join("empty")).unwrap();
    fs::rename(source.config.join("sub"), source.outer.path().join("full")).unwrap();
    fs::rename(source.outer.path().join("empty"), source.config.join("sub")).unwrap();
    source.reports(GONE);
    fs::remove_dir(source.config.join("sub")).unwrap();
    fs::rename(source.outer.path().join("full"), source.config.join("sub")).unwrap();
    source.is_whole();
}

#[test]
fn some_files_are_deleted_at_once() {
    let mut source = watch(FOR_EVER);
    fs::remove_file(source.config.join("a.yaml")).unwrap();
    assert_eq!(source.next(), ["-a"]);
    fs::remove_dir_all(source.config.join("sub")).unwrap();
    assert_eq!(source.next(), ["-c"]);
}

#[test]
fn a_start_with_an_empty_directory_is_held() {
    let known = |config: &Path| -> Vec<Known> {
        read_once(Options::new(config)).unwrap().events.iter().filter_map(Known::of).collect()
    };
    let outer = tempfile::tempdir().unwrap();
    let config = outer.path().join("config");
    fill(&config, &["a", "b"]);
    let had = known(&config);
    fs::remove_file(config.join("a.yaml")).unwrap();
    fs::remove_file(config.join("b.yaml")).unwrap();
    let mut source = watch_at(outer, config, FOR_EVER, had.clone());
    assert!(
        source.listing.len() == 1 && source.listing[0].contains("empty at the start"),
        "{:?}",
        source.listing
    );
    fill(&source.config, &["a", "b"]);
    source.is_whole();

    let outer = tempfile::tempdir().unwrap();
    let config = outer.path().join("config");
    fs::create_dir(&config).unwrap();
    let mut source = watch_at(outer, config, Duration::from_millis(300), had);
    assert_eq!(source.listing.len(), 1);
    assert_eq!(source.next(), ["-b", "-a"]);
}

#[test]
fn a_read_error_that_passes_is_tried_again_by_itself() {
    let mut source = watch(FOR_EVER);
    // Reading this one fails, for root, too; its target changes where nobody watches.
    let target = source.outer.path().join("target");
    symlink("/proc/self/mem", &target).unwrap();
    symlink("../target", source.config.join("new")).unwrap();
    fs::rename(source.config.join("new"), source.config.join("a.yaml")).unwrap();
    let fault = source.next();
    assert!(fault.len() == 1 && fault[0].ends_with("it is tried again"), "{fault:?}");
    fs::write(source.outer.path().join("good"), service("a", 2)).unwrap();
    fs::rename(source.outer.path().join("good"), &target).unwrap();
    assert_eq!(source.next(), ["+a"]);
}

/// In a process of its own, for its limit of open files counts for all threads.
#[test]
fn too_many_open_files_pass() {
    const ALONE: &str = "FLEETGATE_TEST_OPEN_FILES";
    if std::env::var_os(ALONE).is_none() {
        let name = "too_many_open_files_pass";
        let program = std::env::current_exe().unwrap();
        let limited = format!("ulimit -n 64; exec '{}' --exact {name} --nocapture", program.display());
        let status =
            std::process::Command::new("sh").args(["-c", &limited]).env(ALONE, "1").status().unwrap();
        assert!(status.success());
        return;
    }
    let mut source = watch(FOR_EVER);
    let mut open = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        open.push(file);
    }
    // Without a descriptor of its own this test can move files, no more.
    drop(open.pop());
    fs::write(source.config.join(".new"), service("a", 2)).unwrap();
    open.push(fs::File::open("/dev/null").unwrap());
    fs::rename(source.config.join(".new"), source.config.join("a.yaml")).unwrap();
    let fault = source.next();
    assert!(fault.len() == 1 && fault[0].contains("Too many open files"), "{fault:?}");
    // A directory that cannot be listed hides what is in it.
    fs::rename(source.config.join("sub"), source.config.join("other")).unwrap();
    let fault = source.next();
    assert!(!fault.iter().any(|line| line.starts_with('-')), "{fault:?}");
    drop(open);
    let mut seen = Vec::new();
    while !seen.contains(&"+a".to_owned()) {
        seen.extend(source.next());
    }
    assert!(!seen.iter().any(|line| line.starts_with('-')), "{seen:?}");
    fs::write(source.config.join("other/c.yaml"), service("c", 2)).unwrap();
    while !seen.contains(&"+c".to_owned()) {
        seen.extend(source.next());
    }
}
