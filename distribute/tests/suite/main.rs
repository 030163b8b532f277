//! The server over loopback: with a small client, and with the real Envoy that FLEETGATE_ENVOY names.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not know as such

mod bed;
mod client;
mod envoy;
mod grpc;
mod pieces;
mod proxy;
