//! Small adapters between the crates.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use distribute::{Authenticate, Distributor, Listener, Peer, PrivateKeys};
use ingest::KeyStore;
use ingest::directory::Batch;
use proto::{Event, Kind, PrivateKeyRef, ResourceKey};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};

use super::classes::Classes;
use crate::listen::Listen;
use crate::state_dir::StateDir;
use crate::status::{Locate, Statuses};
use crate::token::Tokens;

/// The source's private keys for the xDS server.
pub(super) struct Keys(pub(super) Arc<KeyStore>);

impl PrivateKeys for Keys {
    fn private_key(&self, key: &PrivateKeyRef) -> Option<Bytes> {
        self.0.private_key(key)
    }

    fn are_all_read(&self) -> bool {
        self.0.is_listed()
    }
}

/// A token alone says which Gateway a proxy serves; what it calls itself counts for nothing.
pub(super) struct Authenticator(pub(super) Tokens);

impl Authenticate for Authenticator {
    fn scope(&self, peer: Peer<'_>) -> Result<ResourceKey, String> {
        self.0.gateway(peer.bearer_token)
    }
}

/// Binds the xDS address and says which one it became.
///
/// # Errors
/// If it is in use or cannot be had.
pub(super) async fn bind_xds(address: &Listen) -> anyhow::Result<(Listener, Listen)> {
    let problem = || format!("cannot serve xDS at {address}: free it or choose another with --xds");
    match address {
        Listen::Tcp(address) => {
            let socket = TcpListener::bind(address).await.with_context(problem)?;
            let bound = Listen::Tcp(socket.local_addr()?);
            Ok((Listener::Tcp(socket), bound))
        }
        Listen::Unix(path) => {
            // A socket that nobody answers is the leftover of a crash.
            if path.exists() && UnixStream::connect(path).await.is_err() {
                use std::os::unix::fs::FileTypeExt;
                if std::fs::symlink_metadata(path)?.file_type().is_socket() {
                    std::fs::remove_file(path).with_context(problem)?;
                }
            }
            let socket = UnixListener::bind(path).with_context(problem)?;
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).with_context(problem)?;
            Ok((Listener::Unix(socket), address.clone()))
        }
    }
}

/// Socket of the state directory where managed Envoys ask. A TCP port that is free while fleetgate starts anew may be
/// taken by anybody, and each Envoy would tell it its token.
pub(super) const XDS_SOCKET: &str = "xds.sock";

/// Binds [`XDS_SOCKET`]. The kernel takes paths of 107 bytes, so the directory is named by its descriptor.
///
/// # Errors
/// If the socket cannot be had.
pub(super) fn bind_private(state: &StateDir) -> anyhow::Result<Listener> {
    use std::os::fd::AsRawFd;
    let path = state.join(XDS_SOCKET);
    let problem = || format!("cannot serve xDS at {}", path.display());
    match std::fs::remove_file(&path) {
        // The lock is ours: nobody serves there.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(problem);
        }
        _ => {}
    }
    let directory = std::fs::File::open(state.path()).with_context(problem)?;
    let short = format!("/proc/self/fd/{}/{XDS_SOCKET}", directory.as_raw_fd());
    let socket = UnixListener::bind(short).with_context(problem)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).with_context(problem)?;
    Ok(Listener::Unix(socket))
}

/// Serves xDS until `stopped` is true.
pub(super) async fn serve_xds(
    distributor: Distributor,
    listener: Listener,
    authenticator: Arc<dyn Authenticate>,
    mut stopped: watch::Receiver<bool>,
) {
    let shutdown = async move {
        // Nobody left to stop it means the same.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    distributor.serve(listener, authenticator, shutdown).await;
}

/// What a source tells, and what becomes of it.
pub(super) struct Source {
    pub(super) batches: mpsc::Receiver<Batch>,
    /// Finds places in its files.
    pub(super) locate: Box<Locate>,
    pub(super) classes: Classes,
}

impl Source {
    /// Hands events to the shard and faults to the statuses, until either ends.
    pub(super) async fn forward(
        self,
        events: mpsc::Sender<Vec<Event>>,
        statuses: Arc<Statuses>,
        (distributor, keys): (Distributor, Arc<KeyStore>),
    ) {
        let Source { mut batches, locate, mut classes } = self;
        let (mut locate, mut listed) = (Some(locate), false);
        while let Some(batch) = batches.recv().await {
            if let Some(faults) = batch.faults {
                statuses.source_faults(faults);
            }
            let keys_changed =
                batch.listed || batch.events.iter().any(|event| event.key.kind == Kind::SECRET);
            let mut revisions = statuses.revisions();
            let before = *revisions.borrow_and_update();
            let passed = classes.pass(batch.events);
            if !passed.is_empty() && events.send(passed).await.is_err() {
                return;
            }
            if batch.listed {
                keys.set_listed();
            }
            if keys_changed {
                distributor.keys_changed();
            }
            // A listing ends with events of its own, so there is a revision to wait for; before it is
            // published nothing of it counts as ready.
            if batch.listed && revisions.wait_for(|revision| *revision > before).await.is_err() {
                return;
            }
            if batch.listed
                && let Some(locate) = locate.take()
            {
                statuses.listed(locate);
            }
            listed |= batch.listed;
            if listed {
                classes.tell();
            }
        }
    }
}
