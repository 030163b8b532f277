//! The ports that a proxy in a pod binds for the ports of its Gateway.

use std::collections::{BTreeMap, BTreeSet};

/// Ports below this want a privilege that a hardened proxy does not have.
const FIRST_UNPRIVILEGED: u16 = 1024;
/// What is added to them, as k8sgateway does: 80 is bound as 8080, 443 as 8443.
const OFFSET: u16 = 8000;

/// Where a proxy in a pod says whether it is ready.
pub const PROXY_READINESS_PORT: u16 = 8082;
/// Where a proxy in a pod shows its metrics.
pub const PROXY_METRICS_PORT: u16 = 9091;
/// What a proxy in a pod binds for itself; the last is Envoy's admin interface.
const RESERVED: [u16; 3] = [PROXY_READINESS_PORT, PROXY_METRICS_PORT, 19000];

/// Gateway port → port that the pod binds, for all TCP (or all UDP) ports of one Gateway.
///
/// A port from 1024 stays, a lower one is raised by 8000. Where a Gateway has both 80 and 8080, 80 is bound as
/// 8080 and 8080 as the next free port, counted on in steps of 8000 and then of one.
pub fn container_ports(ports: impl IntoIterator<Item = u16>) -> BTreeMap<u16, u16> {
    let ports: BTreeSet<u16> = ports.into_iter().collect();
    let usual = |port: u16| if port < FIRST_UNPRIVILEGED { port + OFFSET } else { port };
    let mut taken = BTreeSet::from(RESERVED);
    let mut bound: BTreeMap<u16, u16> = BTreeMap::new();
    // In order, so low ports come first and have what is theirs.
    for port in &ports {
        if taken.insert(usual(*port)) {
            bound.insert(*port, usual(*port));
        }
    }
    for port in &ports {
        bound.entry(*port).or_insert_with(|| {
            let free =
                free(usual(*port), |candidate| !taken.contains(&candidate) && !ports.contains(&candidate));
            taken.insert(free);
            free
        });
    }
    bound
}

/// There are 64,512 ports from 1024 and a Gateway has fewer listeners than that, so one is free.
fn free(port: u16, is_free: impl Fn(u16) -> bool) -> u16 {
    let steps = (1..8).filter_map(|n| port.checked_add(n * OFFSET));
    steps.chain(FIRST_UNPRIVILEGED..=u16::MAX).find(|candidate| is_free(*candidate)).unwrap_or(port)
}

#[cfg(test)]
mod tests {
    use super::container_ports;

    #[test]
    fn privileged_ports_are_raised_and_clashes_give_way() {
        let bound = |ports: &[u16]| container_ports(ports.iter().copied()).into_iter().collect::<Vec<_>>();
        assert_eq!(bound(&[80, 443, 9000]), [(80, 8080), (443, 8443), (9000, 9000)]);
        assert_eq!(bound(&[8080, 80]), [(80, 8080), (8080, 16080)]);
        assert_eq!(bound(&[80, 8080, 16080]), [(80, 8080), (8080, 24080), (16080, 16080)]);
        assert_eq!(bound(&[8080]), [(8080, 8080)]);
        assert_eq!(bound(&[82, 9091]), [(82, 16082), (9091, 17091)], "the proxy needs these itself");
    }
}
