//! What all modes have in common: log, engine, xDS server, statuses, admin endpoint.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use distribute::{Authenticate, Distributor, Listener};
use ingest::KeyStore;
use ingest::directory::{Batch, Known};
use metrics_exporter_prometheus::PrometheusHandle;
use proto::{Epoch, Feedback};
use shard::{Options, Translator, Writer};
use store::{EventLog, FileSnapshots, SledLog};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::classes::Classes;
use super::outputs::Wired;
use super::wiring::{Keys, Source, serve_xds};
use crate::admin::{self, Admin};
use crate::args::Standalone;
use crate::envoy::Stop;
use crate::kubernetes::Peers;
use crate::kubernetes::classes::InUse;
use crate::kubernetes::proxies::HANDOVER;
use crate::state_dir::{self, StateDir};
use crate::status::{Locate, Statuses};

/// All that is open before the first event is taken.
pub(super) struct Pipeline {
    pub(super) state: StateDir,
    pub(super) statuses: Arc<Statuses>,
    pub(super) distributor: Distributor,
    pub(super) keys: Arc<KeyStore>,
    prometheus: PrometheusHandle,
    log: Arc<dyn EventLog>,
    env: translate::Env,
    classes: Classes,
    writer: Writer<Wired>,
    translator: Translator,
    feedback: mpsc::UnboundedReceiver<Feedback>,
    stops: (tokio::signal::unix::Signal, tokio::signal::unix::Signal),
}

/// What a mode brings along.
pub(super) struct Mode {
    /// What its source reads.
    pub(super) batches: mpsc::Receiver<Batch>,
    /// Finds places in its files.
    pub(super) locate: Box<Locate>,
    /// Where its proxies connect, and how they say who they are.
    pub(super) listeners: Vec<Listener>,
    pub(super) authenticator: Arc<dyn Authenticate>,
    pub(super) admin: TcpListener,
    /// Where its probes ask, if not at the admin endpoint.
    pub(super) health: Option<TcpListener>,
    /// The other replicas, where there can be some.
    pub(super) peers: Option<Arc<Peers>>,
    /// Ends when it is told to stop; what it keeps running ends with it.
    pub(super) proxies: Option<(watch::Sender<Stop>, JoinHandle<()>)>,
}

impl Pipeline {
    /// Opens the state directory and brings everything to where the log ends.
    ///
    /// # Errors
    /// If something cannot be opened.
    pub(super) async fn open(
        args: &Standalone,
        state: StateDir,
        env: translate::Env,
        needs_proxies: bool,
    ) -> anyhow::Result<Pipeline> {
        let stops = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let prometheus = crate::metrics::install()?;
        let log: Arc<dyn EventLog> = Arc::new(SledLog::open(&state.join("log"))?);
        let snapshots = Arc::new(FileSnapshots::open(&state.join("snapshot"))?);
        let (tell, feedback) = mpsc::unbounded_channel();
        let keys = Arc::new(KeyStore::new());
        let options = distribute::Options {
            route_table_size: args.route_table_size as usize,
            ..within(raise_open_files(), distribute::Options::default())
        };
        let distributor = Distributor::new(options, Arc::new(Keys(Arc::clone(&keys))), tell);
        let statuses = Arc::new(Statuses::new(env.controller_name.clone(), needs_proxies));
        // The proxies of a directory are told at once: they are not another controller's afterwards.
        let hold = if env.placement == translate::Placement::Pods { HANDOVER * 2 } else { Duration::ZERO };
        let outputs = Arc::new(Wired {
            distributor: distributor.clone(),
            statuses: Arc::clone(&statuses),
            hold,
            held: Arc::default(),
        });
        let options = Options { history: args.history as usize, ..Options::default() };
        let writer = Writer::new(Arc::clone(&log), Arc::clone(&outputs));
        let translator: Translator =
            Translator::restore(Arc::clone(&log), snapshots, env.clone(), options, outputs).await?;
        let (objects, revision) = (translator.objects().count(), translator.revision());
        tracing::info!("restored {objects} objects at revision {revision}");
        let classes = Classes::new(env.controller_name.clone(), translator.objects());
        Ok(Pipeline {
            state,
            statuses,
            distributor,
            keys,
            prometheus,
            log,
            env,
            classes,
            writer,
            translator,
            feedback,
            stops,
        })
    }

    /// The listing that the source's events belong to.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.translator.objects().map(|event| event.epoch.0).max().unwrap_or_default() + 1)
    }

    /// The objects that the log knows, so that a restart makes no events for unchanged ones.
    pub(super) fn known(&self) -> Vec<Known> {
        self.translator.objects().filter_map(Known::of).collect()
    }

    /// The GatewayClasses that Gateways refer to.
    pub(super) fn classes_in_use(&self) -> watch::Receiver<InUse> {
        self.classes.in_use()
    }

    /// Runs until SIGTERM or ctrl-c.
    ///
    /// # Errors
    /// If the xDS server ends by itself.
    pub(super) async fn run(mut self, mode: Mode) -> anyhow::Result<()> {
        let admin = Arc::new(Admin {
            statuses: Arc::clone(&self.statuses),
            recent: self.translator.recent(),
            log: self.log,
            env: self.env,
            prometheus: self.prometheus.clone(),
            peers: mode.peers,
            log_dir: self.state.join("log"),
            bounds: admin::Bounds::default(),
            tail: admin::Tail::new(),
        });
        let aside = admin::Aside::new()?;
        if let Some(listener) = mode.health {
            aside.spawn(admin::serve_health(listener.into_std()?, Arc::clone(&admin)));
        }
        aside.spawn(admin::serve(mode.admin.into_std()?, admin));
        let state_dir =
            tokio::spawn(state_dir::watch(self.state.path().to_owned(), Arc::clone(&self.statuses)));
        let (stop, stopped) = watch::channel(false);
        let (events, events_receiver) = mpsc::channel(64);
        let xds = (self.distributor.clone(), Arc::clone(&self.keys));
        let source = Source { batches: mode.batches, locate: mode.locate, classes: self.classes };
        let source = tokio::spawn(source.forward(events, Arc::clone(&self.statuses), xds));
        let mut xds_servers = JoinSet::new();
        for listener in mode.listeners {
            let authenticator = Arc::clone(&mode.authenticator);
            xds_servers.spawn(serve_xds(self.distributor.clone(), listener, authenticator, stopped.clone()));
        }
        // In one task: what one hands the other wakes no thread.
        let (batches, durable) = mpsc::channel(16);
        let writer = self.writer.run(events_receiver, batches, stopped);
        let translator = self.translator.run(durable, self.feedback);
        let shard = tokio::spawn(async { tokio::join!(writer, translator) });
        let upkeep = tokio::spawn(upkeep(self.prometheus));
        let failure = tokio::select! {
            _ = self.stops.0.recv() => None,
            _ = self.stops.1.recv() => None,
            served = xds_servers.join_next() => served,
        };
        tracing::info!("stopping");
        if let Some((end, mut proxies)) = mode.proxies {
            end.send_replace(Stop::Drained);
            let ended = tokio::select! {
                ended = &mut proxies => Some(ended),
                _ = self.stops.0.recv() => None,
                _ = self.stops.1.recv() => None,
            };
            match ended {
                Some(ended) => ended?,
                None => {
                    tracing::info!("told again to stop: what is under way is cut");
                    end.send_replace(Stop::Now);
                    proxies.await?;
                }
            }
        }
        stop.send_replace(true);
        shard.await?;
        for task in [source, upkeep, state_dir] {
            task.abort();
            // The log must be closed before the lock on the state directory goes.
            let _ = task.await;
        }
        aside.end().await;
        drop(self.state);
        xds_servers.detach_all();
        match failure {
            Some(served) => served.context("the xDS server ended"),
            None => Ok(()),
        }
    }
}

/// Takes what the system allows of open files, and says how many that are.
fn raise_open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Refused, it stays as it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.and_then(|files| files.try_into().ok()).unwrap_or(usize::MAX)
}

/// Connections leave files for the log and the source.
fn within(files: usize, options: distribute::Options) -> distribute::Options {
    distribute::Options {
        max_streams: options.max_streams.min(files / 2),
        max_unknown_connections: options.max_unknown_connections.min(files / 8),
        ..options
    }
}

/// Histograms keep every sample until somebody asks or this is called.
async fn upkeep(prometheus: PrometheusHandle) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        prometheus.run_upkeep();
    }
}
