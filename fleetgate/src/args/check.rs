//! `fleetgate check` and `fleetgate version`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use proto::ArcStr;

use crate::kubernetes::installation::{CONTROLLER, controller_name};

use super::Watched;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetgate check
  fleetgate check --context staging --service-account fleetgate
  fleetgate check -o json | jq '.checks[] | select(.state != \"OK\")'

Exits with 1 if a check fails; a warning is none.")]
pub(crate) struct Check {
    /// The cluster to look at [default: $KUBECONFIG, ~/.kube/config, then the ServiceAccount of the pod]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The namespace that fleetgate itself is in, or will be
    #[arg(long, value_name = "NS", env = "FLEETGATE_NAMESPACE", default_value = "fleetgate-system")]
    pub(crate) namespace: String,
    #[command(flatten)]
    pub(crate) watched: Watched,
    /// The controllerName of the GatewayClasses that are its own
    #[arg(long, value_name = "NAME", env = "FLEETGATE_CONTROLLER_NAME", default_value = CONTROLLER,
          value_parser = controller_name)]
    pub(crate) controller_name: ArcStr,
    /// Whose rights to ask for: a ServiceAccount in that namespace [default: your own]
    #[arg(long, value_name = "NAME")]
    pub(crate) service_account: Option<String>,
    /// Form of the output [default: a table]
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Machine>,
}

#[derive(Args, Debug)]
pub(crate) struct Version {
    /// Form of the output [default: a line]
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Machine>,
}

/// Output for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Machine {
    /// JSON
    Json,
}
