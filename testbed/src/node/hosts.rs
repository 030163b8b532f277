//! Names of Services in pods' `/etc/hosts`, in the place of a DNS server.
//!
//! A Service with a ClusterIP has `NAME.NAMESPACE.svc.cluster.local`, `NAME.NAMESPACE.svc`, `NAME.NAMESPACE` and, in
//! its own namespace, `NAME`. A headless Service has its ready endpoints under these names, and each endpoint with a
//! hostname (pods of StatefulSets) has that before them.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{collections::BTreeMap, path::PathBuf};

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::context::Context;
use super::pod::write_in_place;

/// The hosts file of one pod.
pub(super) struct HostsFile {
    path: PathBuf,
    namespace: String,
    /// The lines that are the pod's own.
    head: String,
}

/// The hosts files of all pods by uid.
pub(super) type HostsFiles = Mutex<BTreeMap<String, HostsFile>>;

/// Writes the pod's file and keeps it current from now on.
///
/// # Errors
/// The disk's.
pub(super) fn add(
    cx: &Context,
    uid: &str,
    pod: &Pod,
    hostname: &str,
    address: Ipv4Addr,
) -> std::io::Result<()> {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let file =
        HostsFile { path: cx.pod_dir(uid).join("etc/hosts"), head: head(pod, hostname, address), namespace };
    let names = render(&file.namespace, &cx.services.state(), &cx.slices.state());
    write_in_place(&file.path, &format!("{}{names}", file.head))?;
    files(cx).insert(uid.to_owned(), file);
    // A Service may have come meanwhile.
    cx.endpoints.send_modify(|n| *n += 1);
    Ok(())
}

/// The pod is gone.
pub(super) fn remove(cx: &Context, uid: &str) {
    files(cx).remove(uid);
}

/// Rewrites the files when Services or endpoints change, until it is dropped.
pub(super) async fn keep_current(cx: Arc<Context>) {
    let mut changed = cx.endpoints.subscribe();
    while changed.changed().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        changed.mark_unchanged();
        let (services, slices) = (cx.services.state(), cx.slices.state());
        let mut rendered: BTreeMap<String, String> = BTreeMap::new();
        for file in files(&cx).values() {
            let names = rendered
                .entry(file.namespace.clone())
                .or_insert_with(|| render(&file.namespace, &services, &slices));
            if let Err(error) = write_in_place(&file.path, &format!("{}{names}", file.head)) {
                tracing::debug!("{} can't be written: {error}", file.path.display());
            }
        }
    }
}

fn files(cx: &Context) -> std::sync::MutexGuard<'_, BTreeMap<String, HostsFile>> {
    cx.hosts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn head(pod: &Pod, hostname: &str, address: Ipv4Addr) -> String {
    let mut head =
        format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{address} {hostname}\n");
    for alias in pod.spec.iter().flat_map(|spec| spec.host_aliases.iter().flatten()) {
        let names = alias.hostnames.clone().unwrap_or_default();
        head.push_str(&format!("{} {}\n", alias.ip, names.join(" ")));
    }
    head
}

fn render(namespace: &str, services: &[Arc<Service>], slices: &[Arc<EndpointSlice>]) -> String {
    let mut lines = Vec::new();
    for service in services {
        let (Some(name), Some(home)) = (&service.metadata.name, &service.metadata.namespace) else {
            continue;
        };
        let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
        let short = home == namespace;
        if address == "None" {
            for (address, hostname) in endpoints(home, name, slices) {
                lines.push(line(&address, "", name, home, short));
                if let Some(hostname) = hostname {
                    lines.push(line(&address, &format!("{hostname}."), name, home, short));
                }
            }
        } else if address.parse::<Ipv4Addr>().is_ok() {
            lines.push(line(address, "", name, home, short));
        }
    }
    lines.sort();
    lines.dedup();
    lines.concat()
}

fn line(address: &str, prefix: &str, name: &str, namespace: &str, short: bool) -> String {
    let full = format!("{prefix}{name}.{namespace}");
    let short = if short { format!(" {prefix}{name}") } else { String::new() };
    format!("{address} {full}.svc.cluster.local {full}.svc {full}{short}\n")
}

fn endpoints(namespace: &str, service: &str, slices: &[Arc<EndpointSlice>]) -> Vec<(String, Option<String>)> {
    let ours = slices.iter().filter(|slice| {
        let of = slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"));
        slice.metadata.namespace.as_deref() == Some(namespace) && of.is_some_and(|of| of == service)
    });
    let all =
        ours.filter(|slice| slice.address_type == "IPv4").flat_map(|slice| slice.endpoints.iter().flatten());
    let ready = all.filter(|endpoint| endpoint.conditions.as_ref().is_none_or(|c| c.ready != Some(false)));
    ready
        .filter_map(|endpoint| Some((endpoint.addresses.first()?.clone(), endpoint.hostname.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names() {
        let service = |name: &str, namespace: &str, ip: &str| {
            let service = json!({
                "metadata": { "name": name, "namespace": namespace }, "spec": { "clusterIP": ip },
            });
            Arc::new(serde_json::from_value::<Service>(service).unwrap())
        };
        let services =
            [service("web", "a", "10.96.0.2"), service("nats", "b", "None"), service("x", "b", "fd00::1")];
        let slice = json!({
            "metadata": { "namespace": "b", "labels": { "kubernetes.io/service-name": "nats" } },
            "addressType": "IPv4",
            "endpoints": [
                { "addresses": ["10.64.0.9"], "hostname": "nats-0", "conditions": { "ready": true } },
                { "addresses": ["10.64.0.8"], "conditions": { "ready": false } },
            ],
        });
        let slices = [Arc::new(serde_json::from_value::<EndpointSlice>(slice).unwrap())];
        let expected = "10.64.0.9 nats-0.nats.b.svc.cluster.local nats-0.nats.b.svc nats-0.nats.b
10.64.0.9 nats.b.svc.cluster.local nats.b.svc nats.b
10.96.0.2 web.a.svc.cluster.local web.a.svc web.a web\n";
        assert_eq!(render("a", &services, &slices), expected);
        assert!(render("b", &services, &slices).contains(" nats-0.nats.b nats-0.nats\n"));
    }
}
