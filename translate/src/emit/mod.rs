//! From resolved data to Envoy's messages: encoded bytes and their hash. Nothing is looked up in the API
//! here.

mod client_validation;
mod clients;
pub(crate) mod cluster;
pub(crate) mod endpoints;
mod external_auth;
pub(crate) mod http_route;
mod l4;
pub(crate) mod listener;
mod listener_filters;
mod loop_guard;
mod query;
pub(crate) mod route;
pub(crate) mod route_table;
mod scopes;
pub(crate) mod secret;
pub(crate) mod virtual_host;

use crate::envoy::{ads, duration, inline, put, socket_address};
