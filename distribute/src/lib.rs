//! Delta ADS: gives every Envoy exactly its Gateway's resources, in an order that breaks nothing.
//!
//! ```text
//!  Delta ──▶ Distributor::publish ──▶ Scope (one a Gateway: pieces, tables, quarantine)
//!                                       │ touched names, to the sessions of this scope only
//!                                       ▼
//!            Envoy ◀── tonic shell ◀── Session (pure state machine, one a stream)
//! ```
//!
//! Invariants
//! - A session serves the one scope that its token names, and never anything before the scope's first
//!   revision has come.
//! - A proxy is sent a resource only if its version differs from the one it has, or if it asks again.
//! - At most one push of a type is unanswered; changes in between merge into the next.
//! - No listener or route goes out before the clusters and endpoints that it may use are ACKed; no
//!   cluster is removed while a listener or route is owed.
//! - A refused piece falls back to the last version that a proxy ACKed; nothing else stops. Only what was
//!   refused alone, or by name, is to blame; what a proxy is not subscribed to, its ACK says nothing of.
//!
//! The place of Raft: [`Distributor::apply`] is "apply everywhere". With several replicas a
//! replicated log sits in front of it: each replica publishes the same deltas in log order, and
//! since versions are content hashes, a proxy that moves to another replica is resent nothing. The
//! quarantine (in the scope, keyed by piece and version) is what else such a log has to carry.

mod auth;
mod distributor;
pub mod metrics;
mod piece;
mod positions;
mod quarantine;
mod registry;
mod resource;
mod scope;
mod server;
mod tables;
mod xds;

pub use auth::{Authenticate, Peer, PrivateKeys};
pub use distributor::{Distributor, Options, Served};
pub use positions::Unfit;
pub use registry::{LastNack, ProxyState, RouteTablesMode};
pub use resource::ResourceType;
pub use server::Listener;
pub use server::gate::{Gate, Known, Origin, Seat, Unwelcome, origin};
pub use tables::{WholeTable, whole_tables};
