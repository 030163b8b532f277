//! Sources: where Kubernetes objects come from. Here, a directory of YAML that is watched.
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
pub mod yaml;

pub use fault::SourceFault;
pub use keys::KeyStore;
pub use limits::{Limits, Schema};
pub use object::spec_hash;
