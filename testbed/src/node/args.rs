//! The node's command line.

use std::path::PathBuf;

use super::cidr::Cidr;

/// What `testbed node` is told.
#[derive(Clone, Debug)]
pub(crate) struct Args {
    /// Credentials for the cluster's API server, with all rights.
    pub(crate) kubeconfig: PathBuf,
    /// Name of the Node object.
    pub(crate) name: String,
    /// Pods' addresses; the first is the bridge's and the node's own.
    pub(crate) pod_cidr: Cidr,
    /// Name of the bridge in the cluster's network namespace.
    pub(crate) bridge: String,
    /// Addresses for Services of type LoadBalancer.
    pub(crate) vip_cidr: Cidr,
    /// JSON file: image name to program, see [`super::images`].
    pub(crate) images: PathBuf,
    /// Where pods' volumes and logs lie; belongs to this node alone.
    pub(crate) dir: PathBuf,
}

impl Args {
    /// Reads the options of `testbed node`.
    ///
    /// # Errors
    /// An option is missing, unknown or malformed.
    pub(crate) fn parse(mut from: pico_args::Arguments) -> anyhow::Result<Args> {
        let args = Args {
            kubeconfig: from.value_from_str("--kubeconfig")?,
            name: from.value_from_str("--name")?,
            pod_cidr: from.value_from_str("--pod-cidr")?,
            bridge: from.value_from_str("--bridge")?,
            vip_cidr: from.value_from_str("--vip-cidr")?,
            images: from.value_from_str("--images")?,
            dir: std::path::absolute(from.value_from_str::<_, PathBuf>("--dir")?)?,
        };
        let rest = from.finish();
        anyhow::ensure!(rest.is_empty(), "testbed node has no option {rest:?}");
        Ok(args)
    }
}
