//! What has to be forwarded where: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// An address and port that a Service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Frontend {
    pub(super) address: Ipv4Addr,
    /// `tcp` or `udp`.
    pub(super) protocol: &'static str,
    pub(super) port: u16,
}

/// All forwarding of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ruleset {
    /// Frontends with at least one ready endpoint.
    pub(super) frontends: BTreeMap<Frontend, BTreeSet<SocketAddrV4>>,
    /// Addresses that belong to Services: what is not forwarded is refused.
    pub(super) addresses: BTreeSet<Ipv4Addr>,
}

impl Ruleset {
    /// Addresses of endpoints, which may be their own clients.
    pub(super) fn endpoints(&self) -> BTreeSet<Ipv4Addr> {
        self.frontends.values().flatten().map(|endpoint| *endpoint.ip()).collect()
    }
}

/// What the cluster's Services ask for. Only IPv4; no session affinity.
pub(super) fn desired(
    services: &[Arc<Service>],
    slices: &[Arc<EndpointSlice>],
    node: Ipv4Addr,
    balancer: impl Fn(&Service) -> Option<Ipv4Addr>,
) -> Ruleset {
    let mut by_service: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| slice.address_type == "IPv4") {
        let of = slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"));
        if let (Some(namespace), Some(name)) = (&slice.metadata.namespace, of) {
            by_service.entry((namespace, name)).or_default().push(slice);
        }
    }
    let mut all = Ruleset::default();
    for service in services {
        let (Some(spec), Some(namespace), Some(name)) =
            (&service.spec, &service.metadata.namespace, &service.metadata.name)
        else {
            continue;
        };
        let own = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<Ipv4Addr>().ok());
        let addresses: Vec<Ipv4Addr> = own.into_iter().chain(balancer(service)).collect();
        all.addresses.extend(&addresses);
        let slices =
            by_service.get(&(namespace.as_str(), name.as_str())).map(Vec::as_slice).unwrap_or_default();
        for port in spec.ports.iter().flatten() {
            let Some(protocol) = protocol(port.protocol.as_deref()) else { continue };
            let endpoints = endpoints(port, protocol, slices);
            if endpoints.is_empty() {
                continue;
            }
            let mut at = |address, number: i32| {
                if let Ok(port) = u16::try_from(number) {
                    all.frontends.insert(Frontend { address, protocol, port }, endpoints.clone());
                }
            };
            addresses.iter().for_each(|address| at(*address, port.port));
            port.node_port.filter(|number| *number > 0).into_iter().for_each(|number| at(node, number));
        }
    }
    all
}

fn protocol(name: Option<&str>) -> Option<&'static str> {
    match name {
        None | Some("TCP") => Some("tcp"),
        Some("UDP") => Some("udp"),
        _ => None,
    }
}

/// The ready endpoints of a Service's port, found by the port's name.
fn endpoints(port: &ServicePort, of: &str, slices: &[&EndpointSlice]) -> BTreeSet<SocketAddrV4> {
    let name = port.name.as_deref().unwrap_or_default();
    let mut all = BTreeSet::new();
    for slice in slices {
        let number = slice.ports.iter().flatten().find(|port| {
            port.name.as_deref().unwrap_or_default() == name && protocol(port.protocol.as_deref()) == Some(of)
        });
        let Some(number) = number.and_then(|port| u16::try_from(port.port?).ok()) else { continue };
        let ready = |conditions: Option<bool>| conditions != Some(false);
        for endpoint in slice.endpoints.iter().flatten() {
            if ready(endpoint.conditions.as_ref().and_then(|conditions| conditions.ready)) {
                let addresses = endpoint.addresses.iter().filter_map(|address| address.parse().ok());
                all.extend(addresses.map(|address| SocketAddrV4::new(address, number)));
            }
        }
    }
    all
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    fn service() -> Service {
        serde_json::from_value(json!({
            "metadata": { "name": "web", "namespace": "ns" },
            "spec": {
                "clusterIP": "10.96.0.9",
                "ports": [
                    { "name": "http", "port": 80, "nodePort": 30080 },
                    { "name": "dns", "port": 53, "protocol": "UDP" },
                    { "name": "none", "port": 81 },
                ],
            },
        }))
        .unwrap()
    }

    fn slice(
        kind: &str,
        port: &str,
        protocol: &str,
        number: u16,
        addresses: &[(&str, bool)],
    ) -> Arc<EndpointSlice> {
        let endpoints: Vec<_> = addresses
            .iter()
            .map(|(address, ready)| json!({ "addresses": [address], "conditions": { "ready": ready } }))
            .collect();
        let slice = json!({
            "metadata": { "namespace": "ns", "labels": { "kubernetes.io/service-name": "web" } },
            "addressType": kind,
            "ports": [{ "name": port, "port": number, "protocol": protocol }],
            "endpoints": endpoints,
        });
        Arc::new(serde_json::from_value(slice).unwrap())
    }

    #[test]
    fn ports_meet_slices_by_name() {
        let slices = [
            slice("IPv4", "http", "TCP", 3000, &[("10.64.0.2", true), ("10.64.0.3", false)]),
            slice("IPv4", "http", "TCP", 3001, &[("10.64.0.4", true)]),
            slice("IPv4", "dns", "UDP", 5353, &[("10.64.0.2", true)]),
            slice("IPv6", "http", "TCP", 3000, &[("fd00::1", true)]),
        ];
        let vip = Ipv4Addr::new(192, 0, 2, 1);
        let node = Ipv4Addr::new(10, 64, 0, 1);
        let all = desired(&[Arc::new(service())], &slices, node, |_| Some(vip));
        let at = |address, protocol, port| Frontend { address, protocol, port };
        let own = Ipv4Addr::new(10, 96, 0, 9);
        let http: BTreeSet<_> = ["10.64.0.2:3000", "10.64.0.4:3001"].map(|e| e.parse().unwrap()).into();
        let dns: BTreeSet<_> = ["10.64.0.2:5353".parse().unwrap()].into();
        let expected = [
            (at(node, "tcp", 30080), http.clone()),
            (at(own, "tcp", 80), http.clone()),
            (at(own, "udp", 53), dns.clone()),
            (at(vip, "tcp", 80), http),
            (at(vip, "udp", 53), dns),
        ];
        assert_eq!(all.frontends, expected.into());
        assert_eq!(all.addresses, [own, vip].into());
    }

    #[test]
    fn headless_services_need_nothing() {
        let mut headless = service();
        headless.spec.as_mut().unwrap().cluster_ip = Some("None".into());
        headless.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].node_port = None;
        let slices = [slice("IPv4", "http", "TCP", 3000, &[("10.64.0.2", true)])];
        let all = desired(&[Arc::new(headless)], &slices, Ipv4Addr::LOCALHOST, |_| None);
        assert_eq!(all, Ruleset::default());
    }
}
