//! The Gateway API's rules: what attaches where, what may refer to what, and what to say about it.

mod addresses;
mod backend_tls;
pub(crate) mod class;
mod conflicts;
mod frontend_tls;
pub(crate) mod gateway;
pub(crate) mod gateway_status;
pub(crate) mod grpc;
pub(crate) mod health;
pub(crate) mod l4_route;
mod listener;
mod listener_filters;
mod listener_set;
pub(crate) mod listener_set_status;
mod parameters;
pub(crate) mod parent;
pub(crate) mod policy_status;
mod proxies;
pub(crate) mod rule;
pub(crate) mod supported;

use crate::resolve::{
    Problem, RuleCx, backend, backend_ref, ca, fault, grant, installed, namespaces, path, policy_target,
    sentence,
};
