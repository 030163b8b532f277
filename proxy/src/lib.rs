//! Envoy dynamic module.
