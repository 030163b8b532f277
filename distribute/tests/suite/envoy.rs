//! Against the real Envoy.
