//! The cluster's one node: a kubelet's duties, with pods as local processes.
