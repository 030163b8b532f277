//! `--kubernetes`: objects from an API server, Envoys as pods.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use distribute::{Authenticate, Listener, Peer};
use http::Uri;
use ingest::kubernetes::source;
use kube::Client;
use proto::{ClusterId, ResourceKey};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::leading::Leading;
use super::limits;
use super::pipeline::{Mode, Pipeline};
use crate::admin;
use crate::args::{Cluster, Kubernetes, Standalone};
use crate::causes::causes;
use crate::kubernetes::events::Reporter;
use crate::kubernetes::installation::{Claim, Installation, claim};
use crate::kubernetes::lease::{Candidate, release};
use crate::kubernetes::pod::OwnPod;
use crate::kubernetes::proxies::Settings;
use crate::kubernetes::{Replica, connect, may_pass, reached_at, withdraw};
use crate::pki::{Authority, ReplicaTls, ServerTls, gateway_of, open_authority};
use crate::state_dir::{self, StateDir};
use crate::status::Field;
use crate::time::now;

/// How long a start may wait for the API server: less than a liveness probe waits for us.
const START: Duration = Duration::from_secs(20);
const START_PAUSE: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or ctrl-c.
///
/// # Errors
/// If it cannot start.
pub(super) async fn run(args: Standalone) -> anyhow::Result<()> {
    let kubernetes = &args.kubernetes;
    let (host, port) = kubernetes.cluster.xds_service()?;
    let namespaces = kubernetes.watched.names();
    let state = StateDir::lock(&state_dir::resolve(args.state_dir.as_deref(), Path::new("/kubernetes"))?)?;
    let installation = kubernetes.installation();
    let (client, server, claim, authorities) = reach(&kubernetes.cluster, &installation).await?;
    let (identity, pod) = identity(&client, kubernetes).await;
    let tls = ServerTls::new(&authorities.borrow(), vec![host.clone()])?;
    let xds = bind(kubernetes.xds_listen, "xDS", "--xds-listen").await?;
    let health = bind(kubernetes.health, "health", "--health").await?;
    let replicas = bind(kubernetes.replica_listen, "other replicas", "--replica-listen").await?;
    let admin = admin::bind(args.admin).await?;
    let controller = installation.controller.clone();
    let env = translate::Env { controller_name: controller.clone(), ..translate::Env::pods() };
    let pipeline = Pipeline::open(&args, state, env, true).await?;
    let options = source::Options {
        cluster: ClusterId::LOCAL,
        epoch: pipeline.epoch(),
        known: pipeline.known(),
        limits: limits(),
        namespaces: namespaces.clone(),
    };
    let (batches, handle) = source::start(client.clone(), options, Arc::clone(&pipeline.keys));
    let mut tasks = JoinSet::new();
    let (leads, leading) = watch::channel(false);
    let namespace = installation.namespace.clone();
    let candidate = Candidate::new(client.clone(), &namespace, claim.clone(), &identity, pod.clone());
    tasks.spawn(candidate.run(leads));
    let statuses = Arc::clone(&pipeline.statuses);
    let reporter = Reporter {
        client: client.clone(),
        controller: controller.clone(),
        identity: identity.clone(),
        namespace: namespace.clone(),
        lease: claim.lease.clone(),
        namespaces: namespaces.clone(),
    };
    let only_there = Leading {
        client: client.clone(),
        controller,
        reporter,
        namespaces,
        seen: handle.seen().clone(),
        statuses: Arc::clone(&statuses),
        settings: Settings {
            image: kubernetes.proxy_image.clone(),
            xds_host: host.clone(),
            xds_port: port,
            field_manager: installation.field_manager(),
            installation: installation.label(),
        },
        authorities: authorities.clone(),
        lease: format!("{}/{}", installation.namespace, claim.lease),
        classes: pipeline.classes_in_use(),
    };
    tasks.spawn(only_there.whenever(leading.clone()));
    let address = reached_at(replicas.local_addr()?, &server)?;
    let replica_tls = ReplicaTls::new(&authorities.borrow())?;
    let replica = Replica::new(client.clone(), &installation, (&identity, pod), address);
    let peers = Arc::new(replica.peers(leading.clone(), replica_tls.sides()));
    tasks.spawn(replica.share(statuses, leading, replicas, Arc::clone(&peers)));
    tasks.spawn(replica_tls.renew(authorities.clone()));
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
    let locate = move |fields: &[Field]| {
        let _source = &handle;
        vec![None; fields.len()]
    };
    let mode = Mode {
        batches,
        locate: Box::new(locate),
        listeners: vec![listener],
        authenticator: Arc::new(ByCertificate),
        admin,
        health: Some(health),
        peers: Some(peers),
        proxies: None,
    };
    let ended = pipeline.run(mode).await;
    tasks.shutdown().await;
    tokio::join!(
        release(client.clone(), &namespace, &claim, &identity),
        withdraw(client, &namespace, &identity)
    );
    ended
}

/// What there must be before anything is written.
type Reached = (Client, Uri, Claim, watch::Receiver<Arc<Authority>>);

/// The API server, our claim and our authority. It may be away for a while, or a file of its kubeconfig: then it is asked again, and only at last
/// given up.
async fn reach(cluster: &Cluster, installation: &Installation) -> anyhow::Result<Reached> {
    let begun = Instant::now();
    loop {
        let reached = async {
            let (client, server) = connect(cluster).await?;
            let claim = claim(&client, installation).await?;
            let authorities = open_authority(client.clone(), &cluster.namespace).await?;
            anyhow::Ok((client, server, claim, authorities))
        };
        match reached.await {
            Err(problem) if may_pass(&problem) && begun.elapsed() < START => {
                tracing::warn!("{}; it is tried again", causes(&problem));
                tokio::time::sleep(START_PAUSE).await;
            }
            reached => return reached,
        }
    }
}

/// A name that no other replica has: in a cluster the pod's, and some chance. And that pod, if it is in one.
async fn identity(client: &Client, kubernetes: &Kubernetes) -> (String, Option<OwnPod>) {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = kubernetes.pod.clone().unwrap_or_else(host);
    let chance = blake3::hash(format!("{name} {} {}", std::process::id(), now()).as_bytes());
    let identity = format!("{name}_{}", &chance.to_hex()[..8]);
    let pod = match &kubernetes.pod {
        Some(name) => OwnPod::find(client, &kubernetes.cluster.namespace, name).await,
        None => None,
    };
    (identity, pod)
}

async fn bind(address: SocketAddr, what: &str, flag: &str) -> anyhow::Result<TcpListener> {
    let problem = || format!("cannot serve {what} at {address}: free it or choose another with {flag}");
    TcpListener::bind(address).await.with_context(problem)
}

/// The certificate alone says which Gateway a proxy serves; what it calls itself counts for nothing.
struct ByCertificate;

impl Authenticate for ByCertificate {
    fn scope(&self, peer: Peer<'_>) -> Result<ResourceKey, String> {
        gateway_of(peer.certificate)
    }
}
