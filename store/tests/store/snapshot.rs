//! Snapshots that were cut, damaged or written by another version.

use std::fs;

use proto::Revision;
use store::{FileSnapshots, Loaded, LogId, Snapshot, SnapshotStore, contract::upsert};

async fn reason(store: &FileSnapshots) -> String {
    match store.load().await.unwrap() {
        Loaded::Unusable { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_snapshot_that_is_not_whole_is_unusable() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileSnapshots::open(dir.path()).unwrap();
    let events = vec![upsert("a", 1, "1"), upsert("b", 2, "2")];
    let snapshot = Snapshot { log: LogId(1), revision: Revision(2), events };
    store.save(&snapshot).await.unwrap();
    let file = dir.path().join("snapshot");
    let whole = fs::read(&file).unwrap();
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        reason(&store).await;
    }
    // The padding at 44..48 means nothing.
    for at in (0..whole.len()).filter(|at| !(44..48).contains(at)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&file, &damaged).unwrap();
        reason(&store).await;
    }
    store.save(&snapshot).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Loaded::Found(snapshot));
}

#[tokio::test]
async fn another_version_and_another_file_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileSnapshots::open(dir.path()).unwrap();
    store.save(&Snapshot { log: LogId(1), revision: Revision(2), events: Vec::new() }).await.unwrap();
    let file = dir.path().join("snapshot");
    let mut bytes = fs::read(&file).unwrap();
    bytes[12..17].copy_from_slice(b"9.8.7");
    fs::write(&file, &bytes).unwrap();
    assert!(reason(&store).await.contains("9.8.7"));
    bytes[8] += 1;
    fs::write(&file, &bytes).unwrap();
    assert!(reason(&store).await.contains("format"));
    fs::write(&file, [b'x'; 200]).unwrap();
    assert!(reason(&store).await.contains("not a snapshot"));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    reason(&store).await;
}

#[tokio::test]
async fn no_temporary_file_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileSnapshots::open(dir.path()).unwrap();
    let snapshot = Snapshot { log: LogId(1), revision: Revision(2), events: Vec::new() };
    store.save(&snapshot).await.unwrap();
    fs::remove_file(dir.path().join("snapshot")).unwrap();
    fs::create_dir(dir.path().join("snapshot")).unwrap();
    store.save(&snapshot).await.unwrap_err();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
