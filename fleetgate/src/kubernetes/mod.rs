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
use http::Uri;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError, LoadDataError};
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
/// If there are no credentials, or a file cannot be read: a sentence that names it.
pub(crate) async fn configuration(file: Option<&Path>, context: Option<&str>) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let named = std::env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty());
    let mut config = match (file, named) {
        (Some(path), _) => {
            let problem = || format!("cannot use --kubeconfig {}", path.display());
            let kubeconfig = Kubeconfig::read_from(path).with_context(problem)?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.with_context(problem)?
        }
        // Never another cluster instead of the one that was named.
        (None, Some(paths)) => Config::from_kubeconfig(&options)
            .await
            .with_context(|| format!("cannot use KUBECONFIG {}", paths.display()))?,
        (None, None) if context.is_some() => Config::from_kubeconfig(&options).await?,
        (None, None) => Config::infer().await.context(
            "found no credentials for a cluster: name a kubeconfig with --kubeconfig or KUBECONFIG, or run in a pod",
        )?,
    };
    // Whoever asks has back-off of its own; here a write would wait for minutes and be stale when it comes.
    config.default_retry = false;
    Ok(config)
}

/// A connection that notices when its server has gone, and the server's address.
///
/// # Errors
/// If there are no credentials, or the API server does not answer.
pub(crate) async fn connect(cluster: &Cluster) -> anyhow::Result<(Client, Uri)> {
    let mut config = configuration(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
    config.read_timeout = Some(SILENCE);
    let server = config.cluster_url.clone();
    let client = Client::try_from(config)
        .with_context(|| format!("cannot use the credentials for the API server at {server}"))?;
    let version = client.apiserver_version().await.with_context(|| {
        format!("no answer from the API server at {server}: is it there, and are the credentials right?")
    })?;
    tracing::info!("API server {server}, Kubernetes {}.{}", version.major, version.minor);
    Ok((client, server))
}

/// True if what did not work may work in a second: the server is away, or a file cannot be read. A kubeconfig that does
/// not exist is a slip of the pen.
pub(crate) fn may_pass(problem: &anyhow::Error) -> bool {
    match (problem.downcast_ref(), problem.downcast_ref()) {
        (Some(kube::Error::Api(status)), _) => status.code == 429 || status.code >= 500,
        (Some(_), _) => true,
        (None, Some(KubeconfigError::ReadConfig(error, _))) => error.kind() != std::io::ErrorKind::NotFound,
        (None, _) => {
            problem.chain().any(|cause| matches!(cause.downcast_ref(), Some(LoadDataError::ReadFile(..))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{configuration, may_pass};
    use crate::causes::causes;

    /// What is said of a kubeconfig whose file of certificates is not there, and whether it is tried again.
    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_named_and_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        let problem = async || {
            let problem = configuration(Some(&path), None).await.unwrap_err();
            (causes(&problem), may_pass(&problem))
        };
        let (told, again) = problem().await;
        assert!(told.contains(&*path.to_string_lossy()) && !again, "{told}");
        std::fs::create_dir(&path).unwrap();
        let (told, again) = problem().await;
        assert!(told.contains(&*path.to_string_lossy()) && again, "{told}");
        std::fs::remove_dir(&path).unwrap();
        let kubeconfig = "{clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1', certificate-authority: ca.crt}}], \
                          contexts: [{name: a, context: {cluster: a, user: a}}], users: [{name: a, user: {}}], current-context: a}";
        std::fs::write(&path, kubeconfig).unwrap();
        let (told, again) = problem().await;
        assert!(told.contains("kubeconfig") && told.contains("ca.crt") && again, "{told}");
        std::fs::write(&path, "{clusters: [").unwrap();
        let (told, again) = problem().await;
        assert!(told.contains(&*path.to_string_lossy()) && !again, "{told}");
    }
}
