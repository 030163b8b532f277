//! Requests all the time, by clients of three kinds.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::task::JoinHandle;

use crate::harness::{Ask, Connection, PATIENCE, until_within};

/// Between two requests of a client: the machine has more to do.
const PACE: Duration = Duration::from_millis(5);
/// Name of the host that is asked for.
pub(super) const HOST: &str = "load.example.com";

/// How a client connects.
#[derive(Clone)]
pub(super) enum Client {
    /// It keeps its connection.
    Keeps(SocketAddr),
    /// A connection a request.
    Anew(SocketAddr),
    /// A TLS connection a request, to a server that this authority vouches for.
    Tls(SocketAddr, CertificateDer<'static>),
}

/// What a client met with.
#[derive(Default)]
pub(super) struct Met {
    pub(super) answers: usize,
    /// What was not the answer of the backend.
    pub(super) failures: Vec<String>,
    pub(super) certificates: BTreeSet<Vec<u8>>,
}

/// Clients that ask until they are stopped.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    counts: Vec<Arc<AtomicUsize>>,
    clients: Vec<JoinHandle<Met>>,
}

impl Load {
    /// Starts asking; returns after the first answers.
    pub(super) async fn start(clients: &[Client]) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let counts: Vec<_> = clients.iter().map(|_| Arc::new(AtomicUsize::new(0))).collect();
        let run = |(client, count): (&Client, &Arc<AtomicUsize>)| {
            tokio::spawn(run(client.clone(), Arc::clone(&stop), Arc::clone(count)))
        };
        let clients = clients.iter().zip(&counts).map(run).collect();
        let load = Load { stop, counts, clients };
        load.more(10).await;
        load
    }

    /// Waits for this many more answers to each client.
    pub(super) async fn more(&self, answers: usize) {
        let goals: Vec<usize> =
            self.counts.iter().map(|count| count.load(Ordering::Relaxed) + answers).collect();
        until_within(PATIENCE, "clients are answered", async || {
            let now: Vec<usize> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
            let done = now.iter().zip(&goals).all(|(now, goal)| now >= goal);
            if done { Ok(()) } else { Err(format!("{now:?} of {goals:?}")) }
        })
        .await;
    }

    /// Stops; what they all met with.
    pub(super) async fn stop(self) -> Met {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Met::default();
        for client in self.clients {
            let met = client.await.unwrap();
            all.answers += met.answers;
            all.failures.extend(met.failures);
            all.certificates.extend(met.certificates);
        }
        all
    }

    /// Stops, and panics if one request failed.
    pub(super) async fn stop_without_failure(self, during: &str) -> Met {
        let met = self.stop().await;
        let (count, failures) = (met.answers, &met.failures);
        assert!(failures.is_empty(), "{during}: {} of {count}, first {:?}", failures.len(), failures[0]);
        println!("{during}: {count} requests, none failed");
        met
    }
}

async fn run(client: Client, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) -> Met {
    let (mut met, mut kept) = (Met::default(), None);
    let request = Ask::get(HOST, "/");
    while !stop.load(Ordering::Relaxed) {
        let (answer, connection) = one(&client, kept.take(), &request, &mut met).await;
        kept = connection;
        met.answers += 1;
        if let Err(failure) = answer {
            met.failures.push(failure);
        }
        count.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PACE).await;
    }
    met
}

/// One request; and the connection, if it is to be kept.
async fn one(
    client: &Client,
    kept: Option<Connection>,
    request: &Ask,
    met: &mut Met,
) -> (Result<(), String>, Option<Connection>) {
    let connected = match (client, kept) {
        (_, Some(connection)) => Ok(connection),
        (Client::Keeps(address) | Client::Anew(address), None) => Connection::plain_to(*address).await,
        (Client::Tls(address, ca), None) => {
            let connected = Connection::tls_to(*address, HOST, ca, "http/1.1", None).await;
            connected.map(|(connection, certificate)| {
                met.certificates.insert(certificate.to_vec());
                connection
            })
        }
    };
    let mut connection = match connected {
        Ok(connection) => connection,
        Err(problem) => return (Err(format!("no connection: {problem}")), None),
    };
    match connection.ask(request).await {
        Ok(answer) if answer.brief() == (200, "blue".to_owned()) => {
            let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            let keep = matches!(client, Client::Keeps(_)) && !closes;
            (Ok(()), keep.then_some(connection))
        }
        Ok(answer) => (Err(format!("{answer:?}")), None),
        Err(problem) => (Err(problem), None),
    }
}
