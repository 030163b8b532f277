//! `Gateway.spec.addresses`: where a Gateway is reached, and what its listeners bind.

use proto::{ArcStr, Fault, ResourceKey, literal};

use super::{fault, sentence};
use crate::env::Placement;
use crate::graph::Verdict;
use crate::model::Gateway;

/// Addresses of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    /// What its listeners bind.
    pub(super) bound: Vec<ArcStr>,
    /// What the user asked for by value.
    pub(super) asked: Vec<ArcStr>,
}

/// Resolves them; the verdict says why they are refused.
pub(super) fn resolve(
    key: &ResourceKey,
    gateway: &Gateway,
    placement: &Placement,
    faults: &mut Vec<Fault>,
) -> (Addresses, Option<Verdict>) {
    let mut asked = Vec::new();
    for (index, address) in gateway.spec.addresses.iter().enumerate() {
        let kind = address.kind.as_deref().unwrap_or("IPAddress");
        let value = address.value.clone().filter(|value| !value.is_empty());
        let is_ip = |value: &ArcStr| value.parse::<core::net::IpAddr>().is_ok();
        let problem = if kind != "IPAddress" {
            format!("addresses of type {kind} are not supported")
        } else if let Some(value) = value.as_ref().filter(|value| !is_ip(value)) {
            format!("{value:?} is not an IP address")
        } else {
            asked.push(value);
            continue;
        };
        let remedy = match placement {
            Placement::Local { .. } => "use type IPAddress with an address of this machine",
            Placement::Pods => {
                "use type IPAddress with an address that load balancers of this cluster may have"
            }
        };
        let fault = fault(key, format!("spec.addresses[{index}]"), problem, remedy);
        let verdict = Verdict::no(literal!("UnsupportedAddress"), sentence(&fault));
        faults.push(fault);
        return (Addresses::default(), Some(verdict));
    }
    let by_value = || asked.iter().flatten().cloned().collect();
    let bound = match placement {
        Placement::Pods => vec![literal!("0.0.0.0")],
        Placement::Local { address } if asked.is_empty() => vec![address.clone()],
        Placement::Local { address } => {
            asked.iter().map(|value| value.clone().unwrap_or_else(|| address.clone())).collect()
        }
    };
    (Addresses { bound, asked: by_value() }, None)
}
