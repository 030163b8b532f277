//! The admin endpoint: plain HTTP on the loopback interface.

mod answer;
mod bounds;
mod connections;
mod events;
mod hints;
pub(crate) mod resources;
mod tail;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use metrics_exporter_prometheus::PrometheusHandle;
use proto::Revision;
use shard::Recent;
use store::EventLog;
use tokio::net::TcpListener;

use crate::kubernetes::Peers;
use crate::status::Statuses;
use answer::{Body, json, text};
pub(crate) use bounds::Bounds;
use bounds::held;
pub(crate) use connections::Aside;
pub(crate) use tail::Tail;

/// What the endpoint shows.
pub(crate) struct Admin {
    /// Statuses and readiness.
    pub(crate) statuses: Arc<Statuses>,
    /// Summaries of deltas.
    pub(crate) recent: Arc<Recent>,
    /// Events, and older states.
    pub(crate) log: Arc<dyn EventLog>,
    /// To translate older states.
    pub(crate) env: translate::Env,
    /// Metrics.
    pub(crate) prometheus: PrometheusHandle,
    /// The other replicas, where there can be some.
    pub(crate) peers: Option<Arc<Peers>>,
    /// Directory of the log, for its size.
    pub(crate) log_dir: PathBuf,
    /// Answers under way.
    pub(crate) bounds: Bounds,
    /// For those who follow the log.
    pub(crate) tail: Tail,
}

/// Binds the endpoint.
///
/// # Errors
/// If the address is in use or not ours.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot serve the admin endpoint at {address}: free it or choose another with --admin")
    })
}

/// Serves all of it until it is dropped. `listener` may belong to another runtime.
pub(crate) async fn serve(listener: std::net::TcpListener, admin: Arc<Admin>) {
    tokio::spawn(admin.tail.clone().run(Arc::clone(&admin.log)));
    connections::accept(listener, move |request| {
        let admin = Arc::clone(&admin);
        async move { route(&admin, &request).await }
    })
    .await;
}

/// Serves what probes and scrapers may know, from whatever host they ask, until it is dropped.
pub(crate) async fn serve_health(listener: std::net::TcpListener, admin: Arc<Admin>) {
    connections::accept(listener, move |request| {
        let admin = Arc::clone(&admin);
        async move {
            match request.uri().path() {
                "/livez" | "/metrics" => answer(&admin, &request).await,
                "/readyz" => ready(&admin.statuses.missing_to_serve()),
                path => text(
                    StatusCode::NOT_FOUND,
                    format!("no {path} here: ask for /livez, /readyz or /metrics\n"),
                ),
            }
        }
    })
    .await;
}

async fn route(admin: &Admin, request: &Request<Incoming>) -> Response<Body> {
    if !is_local(request) {
        return text(StatusCode::FORBIDDEN, "ask for localhost or a loopback address\n");
    }
    answer(admin, request).await
}

async fn answer(admin: &Admin, request: &Request<Incoming>) -> Response<Body> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is known here\n");
    }
    let query = Query(request.uri().query().unwrap_or_default());
    match request.uri().path() {
        "/" => text(StatusCode::OK, INDEX),
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" => ready(&admin.statuses.missing()),
        "/log" => events::answer(admin, &query).await,
        "/metrics" | "/status" | "/hints" | "/deltas" | "/resources" => match admin.bounds.large().await {
            Ok(place) => held(large(admin, request.uri().path(), &query).await, place),
            Err(refused) => refused,
        },
        path => text(StatusCode::NOT_FOUND, format!("no {path} here\n{INDEX}")),
    }
}

async fn large(admin: &Admin, path: &str, query: &Query<'_>) -> Response<Body> {
    match path {
        "/metrics" => {
            crate::metrics::sample(&admin.log_dir);
            text(StatusCode::OK, admin.prometheus.render())
        }
        "/status" => match &admin.peers {
            Some(peers) => json(&peers.all(&admin.statuses).await),
            None => json(&admin.statuses.to_json()),
        },
        "/hints" => hints::answer(admin).await,
        "/deltas" => match query.revision("since") {
            Ok(since) => json(&admin.recent.since(since.unwrap_or(Revision::NONE))),
            Err(problem) => text(StatusCode::BAD_REQUEST, problem),
        },
        _ => resources::answer(admin, query).await,
    }
}

const INDEX: &str = "/readyz     200 once all is live
/livez      200
/metrics    Prometheus
/status     objects with their conditions, proxies, faults
/hints      what no condition says: parents that are not there, Services without endpoints, shadowed rules
/deltas     ?since=REV: summaries of the last deltas
/log        ?since=REV&follow=1: events as JSON lines
/resources  ?gateway=NS/NAME&revision=REV: xDS resources
";

/// A page in a browser must not read this by giving its own name our address.
fn is_local(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host else { return true };
    let name = match host.parse::<http::uri::Authority>() {
        Ok(authority) => authority.host().trim_matches(['[', ']']).to_owned(),
        Err(_) => return false,
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn ready(missing: &[String]) -> Response<Body> {
    if missing.is_empty() {
        return text(StatusCode::OK, "ready\n");
    }
    text(StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n")
}

/// The part of an address after `?`.
struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    fn revision(&self, name: &str) -> Result<Option<Revision>, String> {
        let number = |text: &str| {
            text.parse()
                .map(Revision)
                .map_err(|_| format!("{name}={text} is not a revision: write a number\n"))
        };
        self.get(name).map(number).transpose()
    }
}

#[cfg(test)]
mod tests {
    use proto::Revision;

    use super::Query;

    #[test]
    fn a_query_has_values_by_name() {
        let query = Query("since=12&follow=1&x");
        assert_eq!(query.revision("since"), Ok(Some(Revision(12))));
        assert_eq!(query.get("follow"), Some("1"));
        assert_eq!(query.revision("until"), Ok(None));
        assert!(Query("since=x").revision("since").unwrap_err().contains("number"));
    }
}
