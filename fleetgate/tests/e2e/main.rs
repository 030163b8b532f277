//! The product through a real Envoy: what clients get and what backends see.
//!
//! Needs `FLEETGATE_ENVOY`, the path of an Envoy; without it each test says so and is skipped. Most tests
//! share one running `fleetgate standalone` and one Gateway, each with a namespace and a hostname of its
//! own; those that restart or break things start their own.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not know as such

mod attachment;
mod backend_tls;
mod balancing;
mod certificates;
mod classes;
mod client_certificates;
mod clients;
mod cluster_faults;
mod commands;
mod cors;
mod errors;
mod experimental;
mod faults;
mod framing;
mod grants;
mod grpc;
mod harness;
mod headers;
mod helm;
mod hostnames;
mod https;
mod installations;
mod kubernetes;
mod limits;
mod listener_filters;
mod listener_sets;
mod listeners;
mod live;
mod loops;
mod managed;
mod matching;
mod mirrors;
mod misdirected;
mod nacks;
mod precedence;
mod protocols;
mod redirects;
mod replicas;
mod restarts;
mod retries;
mod rewrites;
mod rights;
mod routing;
mod secrecy;
mod sessions;
mod tcp_routes;
mod timeouts;
mod tls_routes;
mod trust_bundles;
