//! The vocabulary that every crate of fleetgate shares.
//!
//! ```text
//! ingest ──Event──▶ store (log) ──Event──▶ translate ──Delta──▶ distribute ──xDS──▶ Envoy
//!                                              └─────Report──▶ status
//! ```
//!
//! Plain data only: no tokio, no I/O, no clock.

mod address;
pub mod delta;
pub mod event;
mod feedback;
pub mod hash;
#[cfg(feature = "xds-json")]
pub mod json;
pub mod key;
pub mod port;
mod proxies;
pub mod report;
pub mod revision;
pub mod routing;

pub use address::{AskedAddress, GatewayAddress, Routability};
pub use delta::{Base, Delta, DeltaError, PrivateKeyRef, Put, XdsKey, XdsKind};
pub use event::{Change, Event};
pub use feedback::{Blame, Cause, Feedback};
pub use hash::ContentHash;
pub use key::{ClusterId, Kind, Name, ResourceKey};
pub use port::{PROXY_METRICS_PORT, PROXY_READINESS_PORT, container_ports};
pub use proxies::{Proxies, ProxyPort, ProxySpec};
pub use report::{Condition, Fault, JsonText, ListenerStatus, ObjectStatus, ParentStatus, Report};
pub use revision::{Epoch, FencingEpoch, LogId, Partition, Revision};
pub use routing::{RouteEntry, RouteSet, Routing};

/// Cheaply cloned, immutable string: the type of every name in a key.
pub use arcstr::{ArcStr, literal};
