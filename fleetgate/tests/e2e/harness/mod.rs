//! What the tests have in common.

mod bed;
mod certificates;
mod client;
mod instance;
mod ports;
mod scene;
mod traffic;
mod wait;
mod yaml;

pub(crate) use bed::{Bed, ECHO, ECHO_ADDRESS};
pub(crate) use certificates::{Authority, Identity};
pub(crate) use client::{Answer, Ask, Connection, ask};
pub(crate) use instance::{Instance, kill};
pub(crate) use ports::free_port;
pub(crate) use scene::Scene;
pub(crate) use traffic::Traffic;
pub(crate) use wait::{DEADLINE, until};
pub(crate) use yaml::{backend_service, certificate_secret, gateway, service};
