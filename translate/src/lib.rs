//! Pure translation: events in, deltas of xDS resources and reports out.
//!
//! ```text
//! level 0   class        backend (Service, port, protocol, TLS policy)
//! level 1   gateway (listeners, hostnames, conflicts, certificates)
//! level 2   route (attachment, references, encoded routes)
//! level 3   virtual host   route table   listener   cluster   gateway status   listener set status   policy status
//! level 4   endpoints   secret
//! ```
//!
//! A node is a pure function of what it reads through the engine's context; reading is declaring. The
//! contract is `fold(Engine::apply) == translate`: incremental translation gives, byte for byte, what
//! translation from scratch gives. No clock, no environment, no I/O, no threads.

mod attach;
mod cx;
mod emit;
mod engine;
mod env;
mod envoy;
mod features;
mod graph;
mod hostname;
mod ir;
mod model;
mod resolve;

use proto::{Event, Revision};

pub use ::engine::{Snapshot, StageStats, Stats};
pub use attach::supported::{EXPERIMENTAL_FEATURES, EXPERIMENTAL_POD_FEATURES, FEATURES, POD_FEATURES};
pub use engine::Engine;
pub use env::{Env, Placement};
pub use model::{KINDS, validate};

/// Annotation of a GatewayClass that does not exist any more and is kept in effect, with value `true`.
pub const KEPT_CLASS: &str = "fleetgate.dev/kept";

/// Translation from scratch: the specification of [`Engine::apply`].
pub fn translate(events: impl IntoIterator<Item = Event>, env: &Env) -> Snapshot {
    let events: Vec<Event> = events.into_iter().collect();
    let mut engine = Engine::new(env.clone());
    engine.apply(Revision::FIRST, &events);
    engine.snapshot()
}
