//! What objects refer to: backends, certificates, namespaces, and whether they may.

pub(crate) mod backend;
pub(crate) mod backend_ref;
pub(crate) mod ca;
pub(crate) mod grant;
pub(crate) mod installed;
pub(crate) mod namespaces;
pub(crate) mod path;
pub(crate) mod policy_target;
mod rule_cx;
pub(crate) mod to_gateways;

pub(crate) use rule_cx::{Problem, RuleCx};

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
