//! The session without a network: by hand, by scripts, and against a model of Envoy.

mod bench;
mod by_hand;
mod innocent;
mod model;
mod moves;
mod refusals;
mod scripts;
mod walked;
