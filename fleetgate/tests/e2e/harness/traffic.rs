//! Requests all the time, while something else happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use super::client::{Answer, Ask, Connection, ask};
use super::wait::until;

/// Two clients that ask without a pause, one over kept connections and one over new ones.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<Result<Answer, String>>>>,
}

impl Traffic {
    /// Starts asking; returns after the first answers.
    pub(crate) async fn start(port: u16, request: &Ask) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let clients = [true, false].map(|keep| {
            tokio::spawn(client(port, request.clone(), keep, Arc::clone(&stop), Arc::clone(&count)))
        });
        let traffic = Traffic { stop, count, clients: clients.into() };
        traffic.more(20).await;
        traffic
    }

    /// Waits for this many more answers.
    pub(crate) async fn more(&self, answers: usize) {
        let goal = self.count.load(Ordering::Relaxed) + answers;
        until("traffic flows", async || {
            let count = self.count.load(Ordering::Relaxed);
            if count >= goal { Ok(()) } else { Err(format!("{count} of {goal} answers")) }
        })
        .await;
    }

    /// Stops; everything that came back.
    pub(crate) async fn stop(self) -> Vec<Result<Answer, String>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await.unwrap());
        }
        all
    }

    /// Stops, and panics if there was an answer other than these: status and backend.
    pub(crate) async fn stop_with_only(self, allowed: &[(u16, &str)]) {
        let all = self.stop().await;
        for (index, answer) in all.iter().enumerate() {
            let brief = answer.as_ref().map(Answer::brief);
            let fine = allowed.iter().any(|(status, pod)| brief == Ok((*status, (*pod).to_owned())));
            assert!(fine, "answer {index} of {}: {answer:?}", all.len());
        }
    }
}

async fn client(
    port: u16,
    request: Ask,
    keep: bool,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
) -> Vec<Result<Answer, String>> {
    let mut answers = Vec::new();
    let mut kept: Option<Connection> = None;
    while !stop.load(Ordering::Relaxed) {
        let answer = match (&mut kept, keep) {
            (Some(connection), true) => connection.ask(&request).await,
            (None, true) => match Connection::plain(port).await {
                Ok(connection) => kept.insert(connection).ask(&request).await,
                Err(error) => Err(error),
            },
            (_, false) => ask(port, &request).await,
        };
        if answer.as_ref().map_or(true, |answer| {
            answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
        }) {
            kept = None;
        }
        answers.push(answer);
        count.fetch_add(1, Ordering::Relaxed);
    }
    answers
}
