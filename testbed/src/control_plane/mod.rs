//! etcd, kube-apiserver and kube-controller-manager of one cluster, and the namespaces that they live in.
