//! Asks the other replicas what hangs on them, and makes one answer of it. A proxy is connected to one replica only;
//! who asks any of them wants to see all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::pki::Sides;
use crate::status::Statuses;

/// How long one may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest answer, in bytes: that of a leader with all objects of a large fleet.
const LONGEST: usize = 256 << 20;

/// Names of the other replicas, and where each is asked; none if it did not say.
pub(crate) type Addresses = Vec<(String, Option<SocketAddr>)>;

/// What one replica can say of all.
pub(crate) struct Peers {
    /// This replica's.
    pub(crate) name: String,
    /// Whether this one leads.
    pub(crate) leads: watch::Receiver<bool>,
    pub(crate) others: watch::Receiver<Addresses>,
    pub(crate) sides: watch::Receiver<Sides>,
}

impl Peers {
    /// What it tells others.
    pub(crate) fn own(&self, statuses: &Statuses) -> Value {
        let leads = *self.leads.borrow();
        let mut told = statuses.to_json();
        // Objects are told by who leads, for all: it alone knows what is deployed for them.
        if !leads && let Some(told) = told.as_object_mut() {
            told.retain(|field, _| field != "objects" && field != "faults");
        }
        told["leads"] = leads.into();
        told
    }

    /// `/status`: this one's, with what the others say.
    pub(crate) async fn all(&self, statuses: &Statuses) -> Value {
        let others = self.others.borrow().clone();
        let sides = self.sides.borrow().clone();
        let asked = others.into_iter().map(|(name, address)| {
            let sides = sides.clone();
            async move {
                let answer = match address {
                    Some(address) => ask(address, &sides).await.map_err(|error| format!("{error:#}")),
                    None => Err("it has not said where it is asked".to_owned()),
                };
                (name, answer)
            }
        });
        let answers = join_all(asked).await;
        merge(statuses.to_json(), &self.name, *self.leads.borrow(), answers)
    }
}

async fn ask(address: SocketAddr, sides: &Sides) -> anyhow::Result<Value> {
    let asking = async {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        let stream = sides.connect(stream).await.with_context(|| format!("mutual TLS with {address}"))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::get("/status").header("host", "replica").body(Empty::<Bytes>::new())?;
        let body = Limited::new(sender.send_request(request).await?.into_body(), LONGEST);
        let body = body.collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        connection.abort();
        Ok(serde_json::from_slice(&body)?)
    };
    let answered = tokio::time::timeout(PATIENCE, asking).await;
    answered.with_context(|| format!("no answer of {address} in {} s", PATIENCE.as_secs()))?
}

/// One status of those of all replicas: the proxies of each, and the objects as the one that leads sees them.
fn merge(mut own: Value, name: &str, leads: bool, answers: Vec<(String, Result<Value, String>)>) -> Value {
    let mut proxies = of_replica(&mut own, name);
    let mut replicas = vec![json!({
        "name": name, "leads": leads, "answers": true, "revision": own["revision"], "problem": null,
    })];
    for (other, answer) in answers {
        let mut told = match answer {
            Ok(told) => told,
            Err(problem) => {
                replicas.push(json!({
                    "name": other, "leads": null, "answers": false, "revision": null, "problem": problem,
                }));
                continue;
            }
        };
        proxies.extend(of_replica(&mut told, &other));
        if !leads && told["leads"] == true {
            for field in ["objects", "faults"] {
                own[field] = told[field].take();
            }
        }
        replicas.push(json!({
            "name": other, "leads": told["leads"], "answers": true, "revision": told["revision"], "problem": null,
        }));
    }
    let order =
        |one: &Value| ["gateway", "id", "replica"].map(|field| one[field].as_str().map(str::to_owned));
    proxies.sort_by_cached_key(order);
    replicas.sort_by_cached_key(|one| one["name"].as_str().map(str::to_owned));
    own["proxies"] = proxies.into();
    own["replicas"] = replicas.into();
    own
}

/// The proxies that hang on a replica.
fn of_replica(told: &mut Value, name: &str) -> Vec<Value> {
    let Value::Array(mut proxies) = told["proxies"].take() else { return Vec::new() };
    for proxy in &mut proxies {
        proxy["replica"] = name.into();
    }
    proxies
}

/// Answers other replicas, until it is dropped.
pub(super) async fn serve(listener: tokio::net::TcpListener, peers: Arc<Peers>, statuses: Arc<Statuses>) {
    /// Others at a time; more wait in the kernel's queue.
    const AT_A_TIME: usize = 16;
    let room = Arc::new(tokio::sync::Semaphore::new(AT_A_TIME));
    loop {
        let Ok(room) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a connection of another replica cannot be taken: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (peers, statuses) = (Arc::clone(&peers), Arc::clone(&statuses));
        tokio::spawn(async move {
            let _room = room;
            let answering = answer(stream, &peers, &statuses);
            // Who is slower than that asks again.
            if let Ok(Err(error)) = tokio::time::timeout(PATIENCE * 2, answering).await {
                tracing::debug!("a connection to the replicas' port is refused: {error:#}");
            }
        });
    }
}

async fn answer(stream: TcpStream, peers: &Peers, statuses: &Statuses) -> anyhow::Result<()> {
    let sides = peers.sides.borrow().clone();
    let stream = sides.accept(stream).await?;
    let service = hyper::service::service_fn(|_request| async {
        let body = serde_json::to_vec(&peers.own(statuses))?;
        Ok::<_, serde_json::Error>(http::Response::new(http_body_util::Full::<Bytes>::new(body.into())))
    });
    let mut connection = hyper::server::conn::http1::Builder::new();
    Ok(connection.keep_alive(false).serve_connection(TokioIo::new(stream), service).await?)
}

/// The address that others are told: a listener on all addresses is told by the one that leads to the API server.
///
/// # Errors
/// If there is no way to it.
pub(crate) fn reached_at(listener: SocketAddr, api_server: &http::Uri) -> anyhow::Result<SocketAddr> {
    use std::net::{Ipv4Addr, Ipv6Addr, ToSocketAddrs, UdpSocket};
    if !listener.ip().is_unspecified() {
        return Ok(listener);
    }
    let host = api_server.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = api_server.port_u16().unwrap_or(443);
    let problem =
        || format!("the way to the API server at {host}:{port}, to find this replica's own address");
    let server =
        (host.as_str(), port).to_socket_addrs().with_context(problem)?.next().with_context(problem)?;
    let any: std::net::IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Nothing is sent: the kernel only looks which address it would send from.
    let socket = UdpSocket::bind((any, 0)).with_context(problem)?;
    socket.connect(server).with_context(problem)?;
    Ok(SocketAddr::new(socket.local_addr()?.ip(), listener.port()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{merge, reached_at};

    #[test]
    fn whoever_is_asked_the_answer_is_the_same() {
        let proxy = |id: &str| json!({"gateway": "a/g", "id": id});
        let first = |leads: bool| {
            let mut told =
                json!({"revision": 5, "proxies": [proxy("p2")], "objects": ["theirs"], "faults": ["f"]});
            told["leads"] = leads.into();
            told
        };
        let second = json!({"revision": 9, "proxies": [proxy("p1")], "objects": ["mine"], "faults": [], "leads": false});
        let from_second = merge(second.clone(), "two", false, vec![("one".into(), Ok(first(true)))]);
        let from_first = merge(first(true), "one", true, vec![("two".into(), Ok(second))]);
        for field in ["objects", "faults", "proxies", "replicas"] {
            assert_eq!(from_first[field], from_second[field], "{field}");
        }
        assert_eq!(from_second["objects"], json!(["theirs"]));
        assert_eq!(
            from_first["proxies"],
            json!([
                {"gateway": "a/g", "id": "p1", "replica": "two"}, {"gateway": "a/g", "id": "p2", "replica": "one"}
            ])
        );
    }

    #[test]
    fn one_that_does_not_answer_is_named() {
        let own = json!({"revision": 5, "proxies": [], "objects": ["mine"], "faults": []});
        let told = merge(own, "one", false, vec![("two".into(), Err("no answer in 3 s".into()))]);
        assert_eq!(told["objects"], json!(["mine"]));
        let other = &told["replicas"][1];
        assert_eq!((&other["name"], &other["answers"]), (&"two".into(), &false.into()));
        assert_eq!(other["problem"], "no answer in 3 s");
    }

    #[test]
    fn the_address_that_others_are_told_is_one_of_this_machine() {
        let server = "https://127.0.0.1:6443".parse().unwrap();
        let told = |listener: &str| reached_at(listener.parse().unwrap(), &server).unwrap().to_string();
        assert_eq!(told("0.0.0.0:18005"), "127.0.0.1:18005");
        assert_eq!(told("10.0.0.7:18005"), "10.0.0.7:18005");
    }
}
