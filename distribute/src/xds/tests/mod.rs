//! The session without a network: by hand, by scripts, and against a model of Envoy.

mod bench;
mod by_hand;
mod model;
mod moves;
mod scripts;
mod walked;
