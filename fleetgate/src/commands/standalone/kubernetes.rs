//! `--kubernetes`: objects from an API server, Envoys as pods.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use distribute::{Authenticate, Listener, Peer};
use ingest::kubernetes::source;
use ingest::kubernetes::status::{self, StatusUpdate};
use proto::{ClusterId, Kind, ObjectStatus, Proxies, ResourceKey};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::limits;
use super::pipeline::{Mode, Pipeline};
use crate::admin;
use crate::args::Standalone;
use crate::kubernetes::connect;
use crate::kubernetes::proxies::{Controller, Settings, Wanted, deploy};
use crate::pki::{ServerTls, gateway_of, open_authority};
use crate::state_dir::{self, StateDir};
use crate::status::Statuses;

/// Runs until SIGTERM or ctrl-c.
///
/// # Errors
/// If it cannot start.
pub(super) async fn run(args: Standalone) -> anyhow::Result<()> {
    let kubernetes = &args.kubernetes;
    let (host, port) = kubernetes.cluster.xds_service()?;
    let state = StateDir::lock(&state_dir::resolve(args.state_dir.as_deref(), Path::new("/kubernetes"))?)?;
    let client = connect(&kubernetes.cluster).await?;
    let authorities = open_authority(client.clone(), &kubernetes.cluster.namespace).await?;
    let tls = ServerTls::new(&authorities.borrow(), vec![host.clone()])?;
    let xds = bind(kubernetes.xds_listen, "xDS", "--xds-listen").await?;
    let health = bind(kubernetes.health, "health", "--health").await?;
    let admin = admin::bind(args.admin).await?;
    let env = translate::Env::pods();
    let controller = env.controller_name.clone();
    let pipeline = Pipeline::open(&args, state, env, true).await?;
    let options = source::Options {
        cluster: ClusterId::LOCAL,
        epoch: pipeline.epoch(),
        known: pipeline.known(),
        limits: limits(),
        namespaces: Vec::new(),
    };
    let (batches, handle) = source::start(client.clone(), options, Arc::clone(&pipeline.keys));
    let (updates, receiver) = mpsc::channel(64);
    let mut tasks = JoinSet::new();
    tasks.spawn(status::write(client.clone(), controller, handle.seen().clone(), receiver));
    let (wanted, proxies) = mpsc::channel(64);
    tasks.spawn(forward_statuses(Arc::clone(&pipeline.statuses), updates, wanted));
    let statuses = Arc::clone(&pipeline.statuses);
    let settings = Settings { image: kubernetes.proxy_image.clone(), xds_host: host.clone(), xds_port: port };
    let controller = Controller {
        client,
        settings,
        seen: handle.seen().clone(),
        authorities: authorities.clone(),
        tell: Box::new(move |gateway, deployed| statuses.deployed(gateway, deployed)),
    };
    tasks.spawn(deploy(controller, proxies));
    let address = admin.local_addr()?;
    tracing::info!(
        "xDS with mutual TLS at {} as {host}:{port}, health at http://{}, admin at http://{address}, state in {}",
        xds.local_addr()?,
        health.local_addr()?,
        pipeline.state.path().display()
    );
    let file = pipeline.state.join("admin.address");
    std::fs::write(&file, address.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    let listener = Listener::Tls(xds, tls.configurations());
    tasks.spawn(tls.renew(authorities));
    // Objects of an API server have no files.
    let locate = move |_: &ResourceKey, _: &str| {
        let _source = &handle;
        None
    };
    let mode = Mode {
        batches,
        locate: Box::new(locate),
        listener,
        authenticator: Arc::new(ByCertificate),
        admin,
        health: Some(health),
        proxies: None,
    };
    pipeline.run(mode).await
}

/// Hands changed statuses to their writer, and what Gateways need to whoever deploys it, until one of them ends.
async fn forward_statuses(
    statuses: Arc<Statuses>,
    updates: mpsc::Sender<StatusUpdate>,
    deploy: mpsc::Sender<(ResourceKey, Wanted)>,
) {
    let mut changes = statuses.changes();
    let mut deployed: HashMap<ResourceKey, Proxies> = HashMap::new();
    loop {
        for (key, status) in statuses.take_changed() {
            if key.kind == Kind::GATEWAY
                && let Some(wanted) = wanted(&mut deployed, &key, status.as_ref())
                && deploy.send((key.clone(), wanted)).await.is_err()
            {
                return;
            }
            if updates.send(StatusUpdate { key, status }).await.is_err() {
                return;
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// What has to be deployed now, if that is another thing than before.
fn wanted(
    before: &mut HashMap<ResourceKey, Proxies>,
    gateway: &ResourceKey,
    status: Option<&ObjectStatus>,
) -> Option<Wanted> {
    let Some(status) = status else {
        return before.remove(gateway).map(|_| Wanted::Nothing);
    };
    // Of a Gateway that is not accepted all stays as it is.
    let now = status.proxies.clone()?;
    let old = before.insert(gateway.clone(), now.clone());
    match now {
        _ if old.as_ref() == Some(&now) => None,
        Proxies::SelfManaged => Some(Wanted::Nothing),
        Proxies::Managed(spec) => Some(Wanted::Managed(spec)),
    }
}

async fn bind(address: std::net::SocketAddr, what: &str, flag: &str) -> anyhow::Result<TcpListener> {
    let problem = || format!("cannot serve {what} at {address}: free it or choose another with {flag}");
    TcpListener::bind(address).await.with_context(problem)
}

/// The certificate alone says which Gateway a proxy serves; what it calls itself counts for nothing.
struct ByCertificate;

impl Authenticate for ByCertificate {
    fn scope(&self, peer: Peer<'_>, _node_id: &str) -> Result<ResourceKey, String> {
        gateway_of(peer.certificate)
    }
}
