//! Sources: where Kubernetes objects come from. A directory of YAML, or an API server, that is watched.
//!
//! ```text
//! file ─split─▶ documents ─compose─▶ values ─check, trim─▶ objects ─compare with last─▶ events
//!                                                   └── private keys ──▶ KeyStore, never an event
//! ```

pub mod directory;
mod fault;
mod keys;
mod kinds;
pub mod kubernetes;
mod limits;
mod object;
mod source;
pub mod yaml;

pub use fault::{Place, SourceFault};
pub use keys::KeyStore;
pub use limits::{Limits, Schema};
pub use object::spec_hash;
pub use source::{Batch, Known};
