use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proto::{Kind, ResourceKey};
use tokio::sync::{mpsc, watch};

use super::{Clock, Order, keep};
use crate::envoy::files::Files;
use crate::envoy::process::{Process, Spec};

/// Does not wait, but tells the test how long it would have.
#[derive(Clone)]
struct Pauses {
    now: Arc<Mutex<Instant>>,
    asked: mpsc::UnboundedSender<Duration>,
}

impl Clock for Pauses {
    fn now(&self) -> Instant {
        *self.now.lock().unwrap()
    }

    async fn sleep(&self, pause: Duration) {
        *self.now.lock().unwrap() += pause;
        self.asked.send(pause).unwrap();
        tokio::task::yield_now().await;
    }
}

fn pauses() -> (Pauses, mpsc::UnboundedReceiver<Duration>) {
    let (asked, receiver) = mpsc::unbounded_channel();
    (Pauses { now: Arc::new(Mutex::new(Instant::now())), asked }, receiver)
}

/// Waits without a child process, and keeps its arguments.
const FOREVER: &str = "echo up\nmkfifo \"$0.fifo\" 2>/dev/null\nread line < \"$0.fifo\"";

/// A script in place of Envoy.
fn spec(dir: &Path, script: &str) -> Spec {
    let program = dir.join("envoy.sh");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let gateway = ResourceKey::local(Kind::GATEWAY, "default", "web");
    Spec { program, concurrency: 1, module: None, files: Files::new(dir, &gateway), bootstrap: "{}".into() }
}

/// Starts it and waits until it runs: before that it has no command line.
fn start(spec: &Spec) -> Process {
    let process = Process::start(spec).unwrap();
    while !fs::read(&spec.files.log).unwrap().ends_with(b"up\n") {
        std::thread::yield_now();
    }
    process
}

#[tokio::test]
async fn a_dying_process_is_restarted_with_growing_pauses() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, mut asked) = pauses();
    let (orders, receiver) = watch::channel(Order::Run);
    let task =
        tokio::spawn(keep("default/web".into(), spec(dir.path(), "echo gone; exit 3"), clock, receiver));
    for expected in [100, 200, 400] {
        assert_eq!(asked.recv().await.unwrap().as_millis(), expected);
    }
    orders.send(Order::End).unwrap();
    task.await.unwrap();
    assert!(fs::read_to_string(dir.path().join("default_web.log")).unwrap().starts_with("gone\ngone\n"));
}

#[tokio::test]
async fn a_program_that_cannot_run_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path(), "");
    spec.program = dir.path().join("missing");
    let (clock, mut asked) = pauses();
    let (orders, receiver) = watch::channel(Order::Run);
    let task = tokio::spawn(keep("default/web".into(), spec, clock, receiver));
    assert_eq!(asked.recv().await.unwrap().as_millis(), 100);
    assert_eq!(asked.recv().await.unwrap().as_millis(), 200);
    drop(orders);
    task.await.unwrap();
}

#[tokio::test]
async fn a_process_left_behind_is_adopted_and_ended_by_the_next_keeper() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(dir.path(), FOREVER);
    let first = start(&spec);
    let pid = first.id().unwrap();
    let mut adopted = Process::adopt(&spec).expect("the process lives");
    assert_eq!(adopted.id(), Some(pid));
    let other = Spec { bootstrap: "{\"new\":1}".into(), ..spec.clone() };
    let Process::Child(mut child) = first else { panic!("started ones are children") };
    assert!(Process::adopt(&other).is_none(), "one with another bootstrap is replaced");
    adopted.ended().await;
    assert!(!child.wait().await.unwrap().success());
    assert!(Process::adopt(&spec).is_none(), "a dead one is not adopted");
}

#[tokio::test]
async fn an_order_to_leave_lets_it_run_and_an_order_to_end_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(dir.path(), FOREVER);
    let running = start(&spec);
    let (clock, _asked) = pauses();
    let (orders, receiver) = watch::channel(Order::Leave);
    keep("default/web".into(), spec.clone(), clock.clone(), receiver).await;
    assert!(Process::adopt(&spec).is_some(), "it was left alone");
    drop(orders);
    let (_orders, receiver) = watch::channel(Order::End);
    let keeper = tokio::spawn(keep("default/web".into(), spec.clone(), clock, receiver));
    let Process::Child(mut child) = running else { panic!("started ones are children") };
    child.wait().await.unwrap();
    keeper.await.unwrap();
    assert!(!spec.files.pid.exists());
}
