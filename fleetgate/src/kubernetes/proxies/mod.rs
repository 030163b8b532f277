//! Managed proxies: the Envoys of each Gateway, deployed beside it.
//!
//! ```text
//! translator's ProxySpec ─┐
//! GatewayParameters ──────┴─render (pure)─▶ objects ─server-side apply, what differs─▶ API server
//! Owned: what the server has of them ◀─────────────────────── watches ────────────────────┘
//! ```
//!
//! Objects belong to their Gateway (ownerReferences), so that with it they go; what others write into fields that are
//! not ours stays.

mod addresses;
mod apply;
mod bootstrap;
mod controller;
mod identity;
mod names;
mod owned;
mod parameters;
mod render;
mod retry;

pub(crate) use controller::{Ask, Controller, Wanted, deploy};

use std::time::Duration;

use proto::{ArcStr, Condition, GatewayAddress};

/// The proxies of a Gateway that moved to a class of another controller stay for so long, or until another installation
/// takes them over. They keep their configuration until they have ended.
pub(crate) const HANDOVER: Duration = Duration::from_secs(60);

/// Namespaces of Kubernetes itself, into which nothing is written.
const SYSTEM: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// True for a namespace into which nothing is written.
pub(crate) fn is_system(namespace: &str) -> bool {
    SYSTEM.contains(&namespace)
}

/// What is the same for all proxies.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Image of Envoy, with our module in it.
    pub(crate) image: String,
    /// Host by which proxies find the xDS server.
    pub(crate) xds_host: String,
    /// Its port.
    pub(crate) xds_port: u16,
    /// Who applies our fields (`metadata.managedFields`).
    pub(crate) field_manager: String,
    /// Value of the label that tells our objects from those of other installations, if there is one.
    pub(crate) installation: Option<String>,
}

#[cfg(test)]
impl Settings {
    /// Of the default installation.
    pub(crate) fn of(image: &str, xds_host: &str, xds_port: u16) -> Settings {
        Settings {
            image: image.to_owned(),
            xds_host: xds_host.to_owned(),
            xds_port,
            field_manager: crate::kubernetes::installation::CONTROLLER.to_owned(),
            installation: None,
        }
    }
}

/// What came of the deployment of a Gateway's proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deployed {
    /// Where they are reached.
    pub(crate) addresses: Vec<GatewayAddress>,
    /// Whether each address that was asked for is there; none where that is not told.
    pub(crate) assigned: Option<Condition>,
    /// Why the Gateway is not `Programmed`: reason and sentence.
    pub(crate) problem: Option<(ArcStr, String)>,
}
