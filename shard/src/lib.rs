//! One partition: two parts that know each other by batches only.
//!
//! ```text
//! events ─▶ Writer: append, durable ─▶ Batch ─▶ Translator: Engine::apply ─▶ Outputs::publish(Delta)
//!                       log ─▶ follow ─▶ Batch ──┘   ▲
//!                                                    └─ feedback of the proxies ─▶ whose objects are to blame
//! ```
//!
//! In one process they are joined in memory; a translator that is not beside its writer follows the log. Neither
//! knows anything of xDS: a [`proto::Delta`] is what both ends of the fleet understand. The writer waits for a log
//! that refuses; the translator goes on hearing the proxies meanwhile.

mod batch;
mod blame;
mod counts;
mod follow;
mod machine;
mod recent;
mod restore;
mod translator;
mod writer;

pub use batch::Batch;
pub use follow::follow;
pub use machine::Machine;
pub use recent::{Recent, RecentDelta, RecentResource};
pub use translator::{Options, Outputs, Translator};
pub use writer::{Told, Writer};

#[cfg(test)]
mod tests;
