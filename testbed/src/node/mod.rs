//! The cluster's one node: a kubelet's duties, with pods as local processes.

/// False until there is a node: pods stay pending then.
pub(crate) const IS_BUILT: bool = false;
