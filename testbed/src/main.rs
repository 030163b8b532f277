//! Real Kubernetes control planes without containers: each cluster in namespaces of its own, its pods local processes.

mod control_plane;
mod node;

fn main() {}
