//! However routes are served, a request is routed as the Gateway API says: random configurations and
//! requests against a model, changes under traffic, and requests that are no good.

mod bad_input;
mod bad_requests;
mod changes;
mod config;
mod fleet;
mod generate;
mod model;
mod module;
mod moves;
mod pattern;
mod random;
mod requests;
mod same;
mod wire;

/// What random tests start from; `FLEETGATE_ROUTING_SEED` chooses another.
fn seed() -> u64 {
    std::env::var("FLEETGATE_ROUTING_SEED").map_or(4, |seed| seed.parse().unwrap())
}
