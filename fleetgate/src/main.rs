//! fleetgate
fn main() {}
