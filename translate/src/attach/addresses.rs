//! `Gateway.spec.addresses`: where a Gateway is reached, and what its listeners bind.

use proto::{ArcStr, AskedAddress, Fault, GatewayAddress, ResourceKey, Routability, literal};

use super::{fault, sentence};
use crate::env::Placement;
use crate::ir::Verdict;
use crate::model::Gateway;

/// Addresses of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// What its listeners bind.
    pub(crate) bound: Vec<ArcStr>,
    /// What the user asked for.
    pub(crate) asked: Vec<AskedAddress>,
}

impl Addresses {
    /// Those that are known without asking whoever assigns them.
    pub(crate) fn by_value(&self, tells_routability: bool) -> Vec<GatewayAddress> {
        let plain = self.asked.iter().filter(|asked| asked.routability.is_any());
        let routability = || tells_routability.then_some(Routability::ANY);
        plain
            .filter_map(|asked| {
                Some(GatewayAddress { value: asked.value.clone()?, routability: routability() })
            })
            .collect()
    }
}

/// Resolves them; the verdict says why they are refused.
pub(crate) fn resolve(
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
        let field = format!("spec.addresses[{index}]");
        let routability = address.routability.clone();
        let problem = if kind != "IPAddress" {
            format!("addresses of type {kind} are not supported")
        } else if let Some(value) = value.as_ref().filter(|value| !is_ip(value)) {
            format!("{value:?} is not an IP address")
        } else if !routability.is_any() && *placement != Placement::Pods {
            format!("routability {} means nothing on one machine", routability.0)
        } else {
            if !routability.is_known() {
                let problem = format!("there is no address of routability {}", routability.0);
                faults.push(fault(
                    key,
                    format!("{field}.routability"),
                    problem,
                    "use Cluster, or leave it out",
                ));
            }
            asked.push(AskedAddress { value, routability });
            continue;
        };
        let remedy = match placement {
            Placement::Local { .. } => "use type IPAddress with an address of this machine",
            Placement::Pods => {
                "use type IPAddress with an address that load balancers of this cluster may have"
            }
        };
        let fault = fault(key, field, problem, remedy);
        let verdict = Verdict::no(literal!("UnsupportedAddress"), sentence(&fault));
        faults.push(fault);
        return (Addresses::default(), Some(verdict));
    }
    let bound = match placement {
        Placement::Pods => vec![literal!("0.0.0.0")],
        Placement::Local { address } if asked.is_empty() => vec![address.clone()],
        Placement::Local { address } => {
            asked.iter().map(|asked| asked.value.clone().unwrap_or_else(|| address.clone())).collect()
        }
    };
    (Addresses { bound, asked }, None)
}
