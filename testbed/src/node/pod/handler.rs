//! What probes and hooks do: exec, httpGet, tcpSocket, grpc.

use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

use super::{grpc, http};
use crate::node::container::process::Entrance;

/// One thing to do.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Exec(Vec<String>),
    Http { port: Result<u16, String>, get: HTTPGetAction },
    Tcp { host: Option<String>, port: Result<u16, String> },
    Grpc { port: u16, service: String },
}

/// Does it.
///
/// # Errors
/// Why it counts as failed.
pub(super) async fn run(
    action: &Action,
    address: Ipv4Addr,
    inside: &Entrance,
    limit: Duration,
) -> Result<(), String> {
    match action {
        Action::Exec(words) => inside.exec(words, limit).await,
        Action::Http { port, get } => http::get(address, port.clone()?, get).await,
        Action::Grpc { port, service } => grpc::check(address, *port, service).await,
        Action::Tcp { host, port } => {
            let host = host.clone().unwrap_or_else(|| address.to_string());
            let port = port.clone()?;
            let connected = TcpStream::connect((host.as_str(), port)).await;
            connected.map(drop).map_err(|error| format!("dial tcp {host}:{port}: {error}"))
        }
    }
}

/// The number of a port that may be given by name.
pub(super) fn port(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_ref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    };
    let found = number.and_then(|number| u16::try_from(number).ok());
    found.ok_or_else(|| format!("the container {} has no port {port:?}", container.name))
}
