//! Load and fault harness of fleetgate, and the echo backends that demo and tests send requests to.

pub mod backend;
