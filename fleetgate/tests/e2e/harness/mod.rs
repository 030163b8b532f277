//! What the tests have in common.

mod api_proxy;
mod bed;
mod certificates;
mod client;
mod instance;
mod kubectl;
mod ports;
mod program;
mod scene;
mod traffic;
mod upstream;
mod wait;
mod yaml;

pub(crate) use api_proxy::{ApiProxy, Fault};
pub(crate) use bed::{Bed, CLASS, ECHO, ECHO_ADDRESS};
pub(crate) use certificates::{Authority, Identity};
pub(crate) use client::{Answer, Ask, Connection, ask, ask_at};
pub(crate) use instance::{Instance, kill};
pub(crate) use kubectl::{
    apply, apply_definitions, condition, is_established, kubectl, object, patch, within,
};
pub(crate) use ports::free_port;
pub(crate) use program::Program;
pub(crate) use scene::Scene;
pub(crate) use traffic::Traffic;
pub(crate) use upstream::Upstream;
pub(crate) use wait::{DEADLINE, PATIENCE, until, until_within};
pub(crate) use yaml::{backend_service, certificate_secret, gateway, indent, service};
