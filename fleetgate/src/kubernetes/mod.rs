//! The way to an API server, and what is deployed with it.

pub(crate) mod classes;
pub(crate) mod events;
pub(crate) mod installation;
pub(crate) mod lease;
pub(crate) mod pod;
pub(crate) mod proxies;
mod replicas;

pub(crate) use replicas::{Peers, Replica, reached_at, withdraw};

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::{Client, Config};

use crate::args::Cluster;

/// Silence after which a connection is taken for dead: a server that went without a word would be waited for for ever.
const SILENCE: Duration = Duration::from_secs(90);
/// Seconds that the server holds a watch: it must say something within [`SILENCE`], and bookmarks are no promise.
const WATCH: u32 = 60;

/// What watches other than those of the source begin with.
pub(crate) fn watching() -> watcher::Config {
    watcher::Config::default().timeout(WATCH)
}

/// The kubeconfig that was named, or that of the environment; without one, from inside a pod, its ServiceAccount.
///
/// # Errors
/// If there are no credentials.
pub(crate) async fn configuration(file: Option<&Path>, context: Option<&str>) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let mut config = match (file, context) {
        (Some(path), _) => {
            let kubeconfig = Kubeconfig::read_from(path)
                .with_context(|| format!("cannot use --kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await?
        }
        (None, Some(_)) => Config::from_kubeconfig(&options).await?,
        (None, None) => Config::infer().await?,
    };
    // Whoever asks has back-off of its own; here a write would wait for minutes and be stale when it comes.
    config.default_retry = false;
    Ok(config)
}

/// A connection that notices when its server has gone.
///
/// # Errors
/// If there are no credentials, or the API server does not answer.
pub(crate) async fn connect(cluster: &Cluster) -> anyhow::Result<Client> {
    let mut config = configuration(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
    config.read_timeout = Some(SILENCE);
    let server = config.cluster_url.clone();
    let client = Client::try_from(config)?;
    let version = client.apiserver_version().await.with_context(|| {
        format!("no answer from the API server at {server}: is it there, and are the credentials right?")
    })?;
    tracing::info!("API server {server}, Kubernetes {}.{}", version.major, version.minor);
    Ok(client)
}
