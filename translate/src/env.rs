//! Settings of a translation: all that does not come from objects.

use proto::{ArcStr, literal};

/// Where the proxies of Gateways are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On one machine: listeners bind the Gateway's own addresses and ports.
    Local {
        /// Address that listeners bind when a Gateway names none.
        address: ArcStr,
    },
    /// In pods behind a Service, which has the Gateway's addresses and ports; listeners bind all addresses of their
    /// pod, at [`proto::container_ports`].
    Pods,
}

/// Settings by value; equal settings and equal events give equal bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Env {
    /// The `controllerName` whose GatewayClasses are ours.
    pub controller_name: ArcStr,
    /// Where the proxies are.
    pub placement: Placement,
}

impl Env {
    /// For proxies in pods.
    pub fn pods() -> Self {
        Env { placement: Placement::Pods, ..Env::default() }
    }
}

impl Default for Env {
    fn default() -> Self {
        Env {
            controller_name: literal!("fleetgate.dev/gateway"),
            placement: Placement::Local { address: literal!("127.0.0.1") },
        }
    }
}
