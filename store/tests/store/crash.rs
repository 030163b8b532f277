//! SIGKILL at any moment loses nothing that was acknowledged and leaves no half batch.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use proto::{Event, Revision};
use store::{
    EventLog, SledLog,
    contract::{read_all, upsert},
};

const DIR: &str = "FLEETGATE_TEST_CRASH_DIR";
const ROUNDS: usize = 20;

/// Event `at` of a batch of `of`, whose first event has revision `first`: the log can be checked against
/// itself. Some are longer than one piece.
fn event(first: u64, at: u64, of: u64) -> Event {
    let mut event = upsert(&format!("route-{}", (first + at) % 50), 1, &format!("{first} {at} {of}"));
    if (first + at).is_multiple_of(7) {
        event.change = proto::Change::Upsert(vec![b'x'; 9000].into());
    }
    event
}

/// The process that is killed. It appends for ever and prints what is acknowledged.
#[tokio::test]
#[ignore = "a part of another test"]
async fn appending_child() {
    let Some(dir) = needs::started_by_another_test(DIR) else { return };
    let log = SledLog::open(&dir).unwrap();
    let mut first = log.head().await.unwrap().next().0;
    loop {
        let of = 1 + first % 5;
        let batch: Vec<_> = (0..of).map(|at| event(first, at, of)).collect();
        let last = log.append(&batch).await.unwrap();
        assert_eq!(last.0, first + of - 1);
        println!("acknowledged {last}");
        first = last.0 + 1;
    }
}

/// Lets the child run until it has acknowledged `appends` batches, kills it, and returns the last
/// revision that it got to print.
fn run_and_kill(dir: &Path, appends: usize) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "crash::appending_child", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let acknowledged = |line: &String| line.strip_prefix("acknowledged ")?.parse().ok();
    let mut last = lines.by_ref().filter_map(|line| acknowledged(&line)).take(appends).last();
    child.kill().unwrap();
    child.wait().unwrap();
    last = lines.filter_map(|line| acknowledged(&line)).last().or(last);
    last.expect("the child acknowledged something")
}

#[tokio::test]
async fn no_acknowledged_event_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = 12_345_u64;
    for round in 0..ROUNDS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let acknowledged = run_and_kill(dir.path(), 1 + (random >> 33) as usize % 60);
        let log = SledLog::open(dir.path()).unwrap();
        let head = log.head().await.unwrap();
        assert!(
            head.0 >= acknowledged,
            "round {round}: {acknowledged} was acknowledged, the log ends at {head}"
        );
        let all = read_all(&log, Revision::NONE).await;
        assert!(all.iter().map(|(revision, _)| revision.0).eq(1..=head.0), "round {round}: gaps");
        let mut first = 1;
        while first <= head.0 {
            let of = 1 + first % 5;
            for at in 0..of {
                let index = (first + at - 1) as usize;
                let got = all.get(index).unwrap_or_else(|| panic!("round {round}: half a batch at {first}"));
                assert_eq!(got.1, event(first, at, of), "round {round}");
                let history = log.newest(&got.1.key).await.unwrap().unwrap();
                assert!(history.0 >= got.0, "round {round}: the index lacks {}", got.0);
            }
            first += of;
        }
    }
}
