//! Directories that cannot be used, full disks and damaged files.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use proto::{Change, Event, Revision};
use store::{
    Error, EventLog, SledLog,
    contract::{key, read_all, upsert},
};

fn large(name: &str) -> Event {
    let noise: Vec<u8> = (0..256_u32 << 10).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    Event { change: Change::Upsert(noise.into()), ..upsert(name, 1, "1") }
}

/// Another test that is starting a process may hold the file for a moment.
fn open_sled(dir: &Path) -> sled::Db {
    loop {
        match sled::open(dir.join("sled")) {
            Ok(db) => return db,
            Err(error) if error.to_string().contains("acquire lock") => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_directory_in_use_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let first = SledLog::open(dir.path()).unwrap();
    let error = SledLog::open(dir.path()).unwrap_err();
    assert_eq!(error, Error::Locked { dir: dir.path().to_owned() });
    assert!(error.to_string().contains("another fleetgate uses"));
    drop(first);
    SledLog::open(dir.path()).unwrap();
}

#[test]
fn a_directory_that_cannot_be_made_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = SledLog::open(&dir.path().join("file/log")).unwrap_err();
    assert!(matches!(error, Error::Directory { .. }), "{error}");
    let error = SledLog::open(Path::new("/proc/fleetgate")).unwrap_err();
    assert!(matches!(error, Error::Directory { .. }), "{error}");
}

#[tokio::test]
async fn a_log_of_another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(SledLog::open(dir.path()).unwrap());
    let db = open_sled(dir.path());
    db.insert("m/format", "2").unwrap();
    drop(db);
    let error = SledLog::open(dir.path()).unwrap_err();
    assert!(matches!(&error, Error::Damaged { reason, .. } if reason.contains("format 2")), "{error}");
}

#[tokio::test]
async fn a_damaged_record_is_told_by_its_revision() {
    let dir = tempfile::tempdir().unwrap();
    let log = SledLog::open(dir.path()).unwrap();
    log.append(&[upsert("a", 1, "1"), upsert("b", 1, "1")]).await.unwrap();
    drop(log);
    let db = open_sled(dir.path());
    let (at, record) = db.scan_prefix("e").last().unwrap().unwrap();
    let mut record = record.to_vec();
    *record.last_mut().unwrap() ^= 1;
    db.insert(at, record).unwrap();
    drop(db);
    let log = SledLog::open(dir.path()).unwrap();
    log.newest(&key("a")).await.unwrap().unwrap();
    for error in [log.newest(&key("b")).await.unwrap_err(), log.read(Revision::NONE, 9).await.unwrap_err()] {
        assert!(matches!(error, Error::Record { revision: Revision(2), .. }), "{error}");
    }
}

/// Whatever is flipped, opening and reading end in the events, fewer of them, or an error; never in a
/// panic or in an event that was not written.
#[tokio::test]
async fn a_damaged_file_is_told_or_cut() {
    let dir = tempfile::tempdir().unwrap();
    let log = SledLog::open(dir.path()).unwrap();
    for at in 0..200 {
        log.append(&[upsert(&format!("route-{}", at % 20), 1, &at.to_string())]).await.unwrap();
    }
    let written = read_all(&log, Revision::NONE).await;
    drop(log);
    let file = dir.path().join("sled/db");
    let whole = fs::read(&file).unwrap();
    for round in 0..24 {
        let mut damaged = whole.clone();
        let at = round * whole.len() / 24;
        damaged[at..(at + 40).min(whole.len())].fill(0x5a);
        fs::write(&file, if round % 3 == 0 { &whole[..at] } else { &damaged[..] }).unwrap();
        for left in fs::read_dir(dir.path().join("sled")).unwrap() {
            let path = left.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("snap") {
                fs::remove_file(path).unwrap();
            }
        }
        match SledLog::open(dir.path()) {
            Ok(log) => match log.read(Revision::NONE, usize::MAX).await {
                Ok(entries) => assert!(entries.iter().all(|entry| written.contains(entry)), "round {round}"),
                Err(error) => println!("round {round}: {error}"),
            },
            Err(error) => assert!(error.to_string().contains("move the directory away"), "{error}"),
        }
    }
}

#[tokio::test]
async fn nothing_lies_in_files_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let log = SledLog::open(dir.path()).unwrap();
    for at in 0..40 {
        log.append(&[large(&at.to_string()), upsert("small", 1, "1")]).await.unwrap();
    }
    log.compact(0).await.unwrap();
    drop(log);
    let log = SledLog::open(dir.path()).unwrap();
    assert_eq!(log.head().await.unwrap(), Revision(80));
    // sled does not sync them.
    assert_eq!(fs::read_dir(dir.path().join("sled/blobs")).unwrap().count(), 0);
}

fn mount(options: &str, at: &Path) -> bool {
    let status = Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs"])
        .arg(at)
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Unmounts when the test ends.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_stores_nothing_and_heals() {
    let Some(()) = needs::root() else { return };
    let dir = tempfile::tempdir().unwrap();
    assert!(mount("size=48m", dir.path()), "cannot mount a file system of its own");
    let _mounted = Mounted(dir.path());
    let log = SledLog::open(&dir.path().join("log")).unwrap();
    let mut acknowledged = Revision::NONE;
    let error = loop {
        match log.append(&[large("a")]).await {
            Ok(revision) => acknowledged = revision,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(acknowledged > Revision(3), "{acknowledged}");
    let compacted = log.compact(0).await;
    assert!(matches!(compacted, Err(Error::Full { .. }) | Ok(_)), "{compacted:?}");
    assert_eq!(log.head().await.unwrap(), acknowledged);
    assert_eq!(log.newest(&key("a")).await.unwrap(), Some((acknowledged, large("a"))));
    drop(log);
    let log = SledLog::open(&dir.path().join("log")).unwrap();
    assert_eq!(log.newest(&key("a")).await.unwrap(), Some((acknowledged, large("a"))));
    assert!(matches!(log.append(&[large("a")]).await, Err(Error::Full { .. })));
    assert!(mount("remount,size=96m", dir.path()));
    assert_eq!(log.append(&[large("a")]).await.unwrap(), acknowledged.next());
}

const LIMITED_DIR: &str = "FLEETGATE_TEST_LIMITED_DIR";

/// The process whose files may not grow beyond a few megabytes.
#[tokio::test]
#[ignore = "a part of another test"]
async fn limited_child() {
    let Some(dir) = needs::started_by_another_test(LIMITED_DIR) else { return };
    let log = SledLog::open(&dir).unwrap();
    let mut acknowledged = Revision::NONE;
    let error = loop {
        match log.append(&[large("a")]).await {
            Ok(revision) => acknowledged = revision,
            Err(error) => break error,
        }
    };
    println!("failed {error}");
    let newest = log.newest(&key("a")).await.unwrap().unwrap();
    assert!(newest.0 >= acknowledged && newest.1 == large("a"));
    println!("acknowledged {acknowledged}");
}

/// A write that fails within sled, without a warning by the free space.
#[tokio::test]
async fn a_failed_write_leaves_a_readable_log() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap '' 25; ulimit -f 6144; exec \"$0\" --ignored --exact disk::limited_child --nocapture";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(env::current_exe().unwrap())
        .env(LIMITED_DIR, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let acknowledged =
        text.lines().find_map(|line| line.strip_prefix("acknowledged ")?.parse().ok()).unwrap();
    let log = SledLog::open(dir.path()).unwrap();
    assert!(log.head().await.unwrap() >= Revision(acknowledged));
    assert!(acknowledged > 3);
    log.append(&[large("a")]).await.unwrap();
}
