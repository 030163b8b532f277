//! Addresses for Services of type LoadBalancer.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::node::cidr::Cidr;
use crate::node::context::Context;
use crate::node::ipam::{Ipam, Refusal};

/// Who has which address of the range.
pub(super) struct LoadBalancers {
    addresses: Ipam,
    /// What each Service was refused last: it is told once.
    refused: BTreeMap<String, String>,
}

impl LoadBalancers {
    /// A range of which none is given.
    pub(super) fn new(range: Cidr) -> LoadBalancers {
        LoadBalancers { addresses: Ipam::new(range, 1), refused: BTreeMap::new() }
    }

    /// The Service's address.
    pub(super) fn address(&self, service: &Service) -> Option<Ipv4Addr> {
        self.addresses.of(&key(service))
    }

    /// Gives and takes back addresses, and writes statuses. Says whether all was written.
    pub(super) async fn reconcile(&mut self, cx: &Context, services: &[Arc<Service>]) -> bool {
        let refusals = self.assign(services);
        for (service, why) in refusals {
            cx.events.warn(&*service, "NoLoadBalancerAddress", why).await;
        }
        let mut settled = true;
        for service in services {
            let has = ingress(service);
            let due = self.address(service);
            let ours = is_ours(service) || has.is_some_and(|_| !is_balanced(service));
            if ours && has != due {
                settled &= write(cx, service, due).await;
            }
        }
        settled
    }

    /// Gives each Service its address: those that have one first, then those that ask for one, then the others.
    fn assign(&mut self, services: &[Arc<Service>]) -> Vec<(Arc<Service>, String)> {
        let ours: BTreeMap<String, &Arc<Service>> = services
            .iter()
            .filter(|service| is_ours(service))
            .map(|service| (key(service), service))
            .collect();
        self.addresses.retain(|owner| ours.contains_key(owner));
        self.refused.retain(|owner, _| ours.contains_key(owner));
        for (owner, service) in &ours {
            if let (None, None, Some(had)) = (wanted(service), self.addresses.of(owner), ingress(service)) {
                let _ = self.addresses.claim(owner, had);
            }
        }
        let mut refusals = Vec::new();
        let (asking, others): (Vec<_>, Vec<_>) =
            ours.iter().partition(|(_, service)| wanted(service).is_some());
        for (owner, service) in asking.into_iter().chain(others) {
            let given = match (wanted(service), self.addresses.of(owner)) {
                (Some(wanted), _) => claim(&mut self.addresses, owner, wanted),
                (None, Some(_)) => Ok(()),
                (None, None) => {
                    self.addresses.allocate(owner).map(drop).map_err(|refusal| refusal.to_string())
                }
            };
            match given {
                Ok(()) => drop(self.refused.remove(owner)),
                Err(why) => {
                    self.addresses.release(owner);
                    if self.refused.insert(owner.clone(), why.clone()).as_ref() != Some(&why) {
                        refusals.push((Arc::clone(service), why));
                    }
                }
            }
        }
        refusals
    }
}

fn claim(addresses: &mut Ipam, owner: &str, wanted: &str) -> Result<(), String> {
    let address = wanted.parse::<Ipv4Addr>().map_err(|_| {
        format!("spec.loadBalancerIP {wanted:?} is no IPv4 address; this cluster gives no others")
    })?;
    addresses.claim(owner, address).map(drop).map_err(|refusal: Refusal| refusal.to_string())
}

fn key(service: &Service) -> String {
    let meta = &service.metadata;
    format!("{}/{}", meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

fn is_balanced(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"))
}

fn is_ours(service: &Service) -> bool {
    let other = service.spec.as_ref().is_some_and(|spec| spec.load_balancer_class.is_some());
    is_balanced(service) && !other && service.metadata.deletion_timestamp.is_none()
}

fn wanted(service: &Service) -> Option<&str> {
    service.spec.as_ref()?.load_balancer_ip.as_deref().filter(|address| !address.is_empty())
}

fn ingress(service: &Service) -> Option<Ipv4Addr> {
    let balancer = service.status.as_ref()?.load_balancer.as_ref()?;
    balancer.ingress.as_ref()?.first()?.ip.as_deref()?.parse().ok()
}

async fn write(cx: &Context, service: &Service, address: Option<Ipv4Addr>) -> bool {
    let (Some(name), Some(namespace)) = (&service.metadata.name, &service.metadata.namespace) else {
        return true;
    };
    let ingress = address.map(|address| json!({ "ip": address.to_string(), "ipMode": "VIP" }));
    let ingress: Vec<_> = ingress.into_iter().collect();
    let patch = json!({
        "metadata": { "uid": service.metadata.uid },
        "status": { "loadBalancer": { "ingress": ingress } },
    });
    let services = Api::<Service>::namespaced(cx.client.clone(), namespace);
    match services.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => true,
        // Gone, or another one of that name: the watch will tell.
        Err(kube::Error::Api(error)) if matches!(error.code, 404 | 409) => true,
        Err(error) => {
            tracing::debug!("the address of Service {namespace}/{name} was not written: {error}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, kind: &str, wanted: Option<&str>, has: Option<&str>) -> Arc<Service> {
        let ingress: Vec<_> = has.into_iter().map(|ip| json!({ "ip": ip })).collect();
        let service = json!({
            "metadata": { "name": name, "namespace": "ns" },
            "spec": { "type": kind, "loadBalancerIP": wanted },
            "status": { "loadBalancer": { "ingress": ingress } },
        });
        Arc::new(serde_json::from_value(service).unwrap())
    }

    fn ip(last: u8) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::new(192, 0, 2, last))
    }

    #[test]
    fn addresses_are_given_once() {
        let mut all = LoadBalancers::new("192.0.2.0/24".parse().unwrap());
        let services = [
            service("a", "LoadBalancer", None, None),
            service("asks", "LoadBalancer", Some("192.0.2.1"), None),
            service("had", "LoadBalancer", None, Some("192.0.2.2")),
            service("inside", "ClusterIP", None, None),
        ];
        assert!(all.assign(&services).is_empty());
        let given: Vec<_> = services.iter().map(|service| all.address(service)).collect();
        assert_eq!(given, [ip(3), ip(1), ip(2), None]);
        let fewer = [services[0].clone(), service("new", "LoadBalancer", Some("192.0.2.1"), None)];
        assert!(all.assign(&fewer).is_empty(), "what was deleted gives back");
        assert_eq!(all.address(&fewer[1]), ip(1));
    }

    #[test]
    fn refusals_are_told_once_and_leave_the_service_pending() {
        let mut all = LoadBalancers::new("192.0.2.0/24".parse().unwrap());
        let services = [
            service("far", "LoadBalancer", Some("198.51.100.1"), None),
            service("first", "LoadBalancer", Some("192.0.2.7"), None),
            service("second", "LoadBalancer", Some("192.0.2.7"), None),
        ];
        let told: Vec<_> = all.assign(&services).into_iter().map(|(_, why)| why).collect();
        let expected = [
            "the address 198.51.100.1 is outside the range 192.0.2.0/24 that this cluster can give",
            "the address 192.0.2.7 is already given to ns/first",
        ];
        assert_eq!(told, expected);
        let given: Vec<_> = services.iter().map(|service| all.address(service)).collect();
        assert_eq!(given, [None, ip(7), None]);
        assert!(all.assign(&services).is_empty());
        assert!(all.assign(&services[2..]).is_empty());
        assert_eq!(all.address(&services[2]), ip(7), "it was freed");
    }
}
