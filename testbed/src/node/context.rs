//! What all parts of the node share.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::reflector::{self, Store, store::Writer};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::args::Args;
use super::events::Events;
use super::hosts::HostsFiles;
use super::inside::Inside;
use super::ipam::Ipam;

type Writers = (Writer<Secret>, Writer<ConfigMap>, Writer<Service>, Writer<EndpointSlice>);

/// The node's connection, its view of the cluster, and its addresses.
pub(super) struct Context {
    pub(super) args: Args,
    /// The bridge's address: the node's InternalIP.
    pub(super) address: Ipv4Addr,
    pub(super) client: Client,
    pub(super) events: Events,
    pub(super) secrets: Store<Secret>,
    pub(super) config_maps: Store<ConfigMap>,
    pub(super) services: Store<Service>,
    pub(super) slices: Store<EndpointSlice>,
    /// Grows when a Secret or a ConfigMap changes.
    pub(super) sources: watch::Sender<u64>,
    /// Grows when a Service or an EndpointSlice changes.
    pub(super) endpoints: watch::Sender<u64>,
    /// Pods' `/etc/hosts`.
    pub(super) hosts: HostsFiles,
    /// Ways into the containers that run.
    pub(super) inside: Inside,
    /// True when the node ends.
    pub(super) stop: watch::Sender<bool>,
    addresses: Mutex<Ipam>,
    writers: Mutex<Option<Writers>>,
}

impl Context {
    /// Connects to the API server.
    ///
    /// # Errors
    /// The kubeconfig can't be read.
    pub(super) async fn connect(args: Args) -> anyhow::Result<Context> {
        let file = kube::config::Kubeconfig::read_from(&args.kubeconfig)
            .with_context(|| format!("the kubeconfig {} can't be read", args.kubeconfig.display()))?;
        let config = Config::from_custom_kubeconfig(file, &Default::default()).await?;
        let client = Client::try_from(config)?;
        let ((secrets, w1), (config_maps, w2)) = (reflector::store(), reflector::store());
        let ((services, w3), (slices, w4)) = (reflector::store(), reflector::store());
        Ok(Context {
            address: args.pod_cidr.nth(1),
            events: Events::new(client.clone(), &args.name),
            addresses: Mutex::new(Ipam::new(args.pod_cidr, 2)),
            writers: Mutex::new(Some((w1, w2, w3, w4))),
            sources: watch::Sender::new(0),
            endpoints: watch::Sender::new(0),
            hosts: HostsFiles::default(),
            inside: Inside::default(),
            stop: watch::Sender::new(false),
            args,
            client,
            secrets,
            config_maps,
            services,
            slices,
        })
    }

    /// Starts to watch Secrets, ConfigMaps, Services and EndpointSlices. Does nothing when called again.
    pub(super) fn start_reflectors(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        let Some((w1, w2, w3, w4)) = self.writers.lock().unwrap_or_else(|e| e.into_inner()).take() else {
            return;
        };
        tasks.spawn(follow(self.client.clone(), w1, self.sources.clone()));
        tasks.spawn(follow(self.client.clone(), w2, self.sources.clone()));
        tasks.spawn(follow(self.client.clone(), w3, self.endpoints.clone()));
        tasks.spawn(follow(self.client.clone(), w4, self.endpoints.clone()));
    }

    /// The pods' addresses.
    pub(super) fn ipam(&self) -> MutexGuard<'_, Ipam> {
        self.addresses.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Volumes and files of a pod.
    pub(super) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.args.dir.join("pods").join(uid)
    }

    /// Logs of a container.
    pub(super) fn log_dir(&self, uid: &str, container: &str) -> PathBuf {
        self.args.dir.join("logs").join(uid).join(container)
    }

    /// Pods of a namespace.
    pub(super) fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

async fn follow<K>(client: Client, writer: Writer<K>, changed: watch::Sender<u64>)
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let stream = watcher(Api::<K>::all(client), watcher::Config::default()).default_backoff().reflect(writer);
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        match event {
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Ok(_) => changed.send_modify(|n| *n += 1),
            Err(error) => tracing::debug!("watch of {}: {error}", K::kind(&())),
        }
    }
}
