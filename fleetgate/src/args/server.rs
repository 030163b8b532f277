//! Whom `get`, `log` and `diff` ask.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::ADMIN;
use crate::listen::loopback;

/// The running fleetgate to ask.
#[derive(Args, Debug)]
pub(crate) struct Server {
    /// Admin address of the running fleetgate; with --kubernetes, the one inside its pod
    #[arg(long, value_name = "ADDR", env = "FLEETGATE_ADMIN", default_value = ADMIN, value_parser = loopback)]
    pub(crate) admin: SocketAddr,
    /// Ask the fleetgate of a Kubernetes cluster: one of its pods, by port-forward
    #[arg(long, help_heading = "With --kubernetes")]
    pub(crate) kubernetes: bool,
    /// The cluster to ask in [default: $KUBECONFIG, ~/.kube/config, then the ServiceAccount of the pod]
    #[arg(long, value_name = "FILE", requires = "kubernetes", help_heading = "With --kubernetes")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", requires = "kubernetes", help_heading = "With --kubernetes")]
    pub(crate) context: Option<String>,
    /// The namespace that fleetgate is in
    #[arg(
        long,
        value_name = "NS",
        env = "FLEETGATE_NAMESPACE",
        default_value = "fleetgate-system",
        help_heading = "With --kubernetes"
    )]
    pub(crate) namespace: String,
    /// The pod to ask [default: the oldest that is ready]
    #[arg(long, value_name = "NAME", requires = "kubernetes", help_heading = "With --kubernetes")]
    pub(crate) pod: Option<String>,
}
