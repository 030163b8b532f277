//! What the proxies of one Gateway, and all together, may have open and under way.

use std::sync::{Arc, Mutex};

use proto::ResourceKey;
use rustc_hash::FxHashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::{
    distributor::{Distributor, Options, lock},
    metrics,
};

/// Streams, and bytes of requests that are not yet handled.
pub(crate) struct Peers {
    open: Mutex<Open>,
    bytes: Arc<Semaphore>,
}

#[derive(Default)]
struct Open {
    streams: usize,
    gateways: FxHashMap<ResourceKey, Gateway>,
}

struct Gateway {
    streams: usize,
    bytes: Arc<Semaphore>,
}

impl Peers {
    pub(crate) fn new(options: &Options) -> Peers {
        Peers { open: Mutex::default(), bytes: Arc::new(Semaphore::new(options.request_bytes_in_all)) }
    }
}

/// One of the streams that are allowed at a time.
pub(super) struct Slot {
    distributor: Distributor,
    gateway: ResourceKey,
    bytes: Arc<Semaphore>,
}

impl Slot {
    /// # Errors
    /// The status to refuse the stream with.
    pub(super) fn take(distributor: &Distributor, gateway: &ResourceKey) -> Result<Slot, Status> {
        let options = &distributor.inner.options;
        let mut open = lock(&distributor.inner.peers.open);
        if open.streams >= options.max_streams {
            metrics::refused("streams");
            return Err(Status::resource_exhausted(format!(
                "this server has its limit of {} streams; add a replica",
                options.max_streams
            )));
        }
        let new = || Gateway { streams: 0, bytes: Arc::new(Semaphore::new(options.max_request_bytes)) };
        let entry = open.gateways.entry(gateway.clone()).or_insert_with(new);
        if entry.streams >= options.max_streams_per_gateway {
            metrics::refused("gateway_streams");
            return Err(Status::resource_exhausted(format!(
                "Gateway {} has its limit of {} streams on this server; add a replica",
                gateway.namespaced_name(),
                options.max_streams_per_gateway
            )));
        }
        entry.streams += 1;
        let bytes = Arc::clone(&entry.bytes);
        open.streams += 1;
        metrics::streams(1.0);
        Ok(Slot { distributor: distributor.clone(), gateway: gateway.clone(), bytes })
    }

    /// Room for a large request; waits until there is some.
    pub(super) async fn reserve(&self, bytes: usize) -> Reserved {
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        // Those of a Gateway wait for each other first, so that they cannot use up what is there for all.
        let own = Arc::clone(&self.bytes).acquire_many_owned(count).await.ok();
        let all = Arc::clone(&self.distributor.inner.peers.bytes).acquire_many_owned(count).await.ok();
        metrics::request_bytes(f64::from(count));
        Reserved { count, _permits: (own, all) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = lock(&self.distributor.inner.peers.open);
        open.streams -= 1;
        if let Some(gateway) = open.gateways.get_mut(&self.gateway) {
            gateway.streams -= 1;
            if gateway.streams == 0 {
                open.gateways.remove(&self.gateway);
            }
        }
        metrics::streams(-1.0);
    }
}

/// Room for a request until it is handled.
pub(super) struct Reserved {
    count: u32,
    _permits: (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>),
}

impl Drop for Reserved {
    fn drop(&mut self) {
        metrics::request_bytes(-f64::from(self.count));
    }
}
