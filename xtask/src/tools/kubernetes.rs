//! Kubernetes, etcd and NATS, built from Go modules that `conformance/` pins.

use std::path::PathBuf;

use super::go::{build, built, pins};
use crate::command::command;
use crate::{Outcome, root};

const KUBERNETES: &str = "kubernetes-1.37.2";
/// What a release is told to say of itself; charts look at it.
const KUBERNETES_VERSION: &str = "-X k8s.io/component-base/version.gitVersion=v1.37.2 \
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37";
const ETCD: &str = "etcd-3.6.6";
const NATS: &str = "nats-server-2.15.2";

pub(super) fn etcd() -> Outcome<PathBuf> {
    built("etcd", "etcd", ETCD, &["build"], "go.etcd.io/etcd/server/v3")
}

pub(crate) fn nats_server() -> Outcome<PathBuf> {
    built("nats", "nats-server", NATS, &["build"], "github.com/nats-io/nats-server/v2")
}

pub(super) fn api_server() -> Outcome<PathBuf> {
    kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver")
}

pub(super) fn controller_manager() -> Outcome<PathBuf> {
    kubernetes("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager")
}

/// One that does not say its version is built anew.
fn kubernetes(name: &str, package: &str) -> Outcome<PathBuf> {
    let path = root().join(".tools").join(KUBERNETES).join(name);
    let wanted = KUBERNETES.replace("kubernetes-", "Kubernetes v");
    let told = command(&path, &["--version"]).output();
    if told.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).trim() == wanted) {
        return Ok(path);
    }
    build(&pins("kubernetes"), &path, &["build"], package, KUBERNETES_VERSION)?;
    Ok(path)
}
