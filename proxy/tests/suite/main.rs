//! The module in a real Envoy.
