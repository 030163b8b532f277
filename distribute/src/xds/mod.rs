//! The delta xDS protocol as a pure state machine: no tokio, no tonic, no clock.

mod flow;
mod message;
mod nack;
mod push;
mod refused;
mod response;
mod secret;
mod session;
mod subscriptions;
mod turns;
mod wire;

#[cfg(test)]
mod tests;

pub(crate) use response::{Parts, Response};
pub(crate) use session::{Input, Mark, Notice, Output, Session, Touched};
