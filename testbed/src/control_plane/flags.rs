//! What the programs are started with.

use serde_json::{Value, json};

use crate::bed::{BRIDGE, ClusterDir, Plan, SERVICES, VIPS};

use super::NODE;

/// Controllers that a cluster with one node and no cloud has use for.
const CONTROLLERS: &str = "daemonset-controller,deployment-controller,disruption-controller,endpoints-controller,\
endpointslice-controller,endpointslice-mirroring-controller,garbage-collector-controller,\
horizontal-pod-autoscaler-controller,job-controller,namespace-controller,node-lifecycle-controller,\
pod-garbage-collector-controller,replicaset-controller,root-ca-certificate-publisher-controller,\
serviceaccount-controller,serviceaccount-token-controller,statefulset-controller";

/// Where [`audit_policy`] is.
pub(super) const AUDIT_POLICY: &str = "audit-policy.json";

/// Who asked for what, and whether it was granted; a watch counts when it begins.
pub(super) fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    })
}

fn path(dir: &ClusterDir, flag: &str, file: &str) -> String {
    format!("--{flag}={}", dir.join(file).display())
}

pub(super) fn etcd(dir: &ClusterDir) -> Vec<String> {
    vec![
        path(dir, "data-dir", "etcd"),
        "--listen-client-urls=http://127.0.0.1:2379".into(),
        "--advertise-client-urls=http://127.0.0.1:2379".into(),
        "--listen-peer-urls=http://127.0.0.1:2380".into(),
        // The data is worth nothing once the bed is gone.
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ]
}

pub(super) fn api_server(dir: &ClusterDir, plan: &Plan) -> Vec<String> {
    let mut flags = vec![
        "--etcd-servers=http://127.0.0.1:2379".into(),
        format!("--secure-port={}", plan.port),
        "--bind-address=0.0.0.0".into(),
        format!("--advertise-address={}", plan.node_address()),
        format!("--service-cluster-ip-range={SERVICES}"),
        path(dir, "tls-cert-file", "apiserver.crt"),
        path(dir, "tls-private-key-file", "apiserver.key"),
        path(dir, "client-ca-file", "ca.crt"),
        path(dir, "kubelet-client-certificate", "kubelet-client.crt"),
        path(dir, "kubelet-client-key", "kubelet-client.key"),
        path(dir, "service-account-key-file", "tokens.pub"),
        path(dir, "service-account-signing-key-file", "tokens.key"),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        "--authorization-mode=Node,RBAC".into(),
        // The node has no name that anybody resolves.
        "--kubelet-preferred-address-types=InternalIP".into(),
        "--allow-privileged=true".into(),
        "--profiling=false".into(),
    ];
    if plan.audit {
        flags
            .extend([path(dir, "audit-policy-file", AUDIT_POLICY), path(dir, "audit-log-path", "audit.log")]);
    }
    flags
}

pub(super) fn controller_manager(dir: &ClusterDir) -> Vec<String> {
    let kubeconfig = "controller-manager.kubeconfig";
    vec![
        path(dir, "kubeconfig", kubeconfig),
        path(dir, "authentication-kubeconfig", kubeconfig),
        path(dir, "authorization-kubeconfig", kubeconfig),
        path(dir, "service-account-private-key-file", "tokens.key"),
        path(dir, "root-ca-file", "ca.crt"),
        "--use-service-account-credentials=true".into(),
        "--leader-elect=false".into(),
        "--bind-address=127.0.0.1".into(),
        format!("--controllers={CONTROLLERS}"),
        "--kube-api-qps=200".into(),
        "--kube-api-burst=400".into(),
        "--endpointslice-updates-batch-period=0s".into(),
        "--profiling=false".into(),
    ]
}

pub(super) fn node(dir: &ClusterDir, plan: &Plan) -> Vec<String> {
    let text = |name: &str| name.to_owned();
    let path = |file: &str| dir.join(file).display().to_string();
    let mut flags =
        vec![text("node"), text("--kubeconfig"), path("node.kubeconfig"), text("--dir"), path("node")];
    for (flag, value) in
        [("--name", NODE), ("--pod-cidr", &plan.pod_cidr()), ("--bridge", BRIDGE), ("--vip-cidr", VIPS)]
    {
        flags.extend([text(flag), text(value)]);
    }
    if let Some(images) = &plan.images {
        flags.extend([text("--images"), images.display().to_string()]);
    }
    flags
}
