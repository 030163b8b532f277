//! The Gateway API's rules: what attaches where, what may refer to what, and what to say about it.

mod addresses;
pub(crate) mod backend;
mod backend_ref;
mod backend_tls;
pub(crate) mod ca;
pub(crate) mod class;
mod conflicts;
mod frontend_tls;
pub(crate) mod gateway;
pub(crate) mod gateway_status;
mod grant;
mod grpc;
mod health;
mod installed;
pub(crate) mod l4_route;
mod listener;
mod listener_filters;
mod listener_set;
pub(crate) mod listener_set_status;
mod namespaces;
mod parameters;
pub(crate) mod parent;
pub(crate) mod path;
pub(crate) mod policy_status;
mod policy_target;
mod proxies;
mod resolve;
pub(crate) mod route;
pub(crate) mod rule;
pub(crate) mod supported;
pub(crate) mod to_gateways;

pub(crate) use resolve::{Problem, RuleCx};

use proto::{Fault, ResourceKey};

/// A fault of a field of an object.
pub(crate) fn fault(
    object: &ResourceKey,
    field: impl Into<String>,
    problem: impl Into<String>,
    remedy: impl Into<String>,
) -> Fault {
    Fault { object: object.clone(), field: field.into(), problem: problem.into(), remedy: remedy.into() }
}

/// The sentence of a condition for a fault: all but the object, which the reader is looking at.
pub(crate) fn sentence(fault: &Fault) -> String {
    format!("{}: {}; {}", fault.field, fault.problem, fault.remedy)
}
