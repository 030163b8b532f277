//! A scope and one session, without a network.

use bytes::Bytes;
use envoy_types::pb::{
    envoy::{
        config::cluster::v3::{
            Cluster,
            cluster::{ClusterDiscoveryType, DiscoveryType},
        },
        service::discovery::v3::DeltaDiscoveryRequest,
    },
    google::rpc::Status,
};
use prost::Message;
use proto::{Kind, PrivateKeyRef, Put, ResourceKey, Revision, XdsKey, XdsKind};

use crate::{
    PrivateKeys,
    resource::ResourceType,
    scope::Scope,
    xds::{Input, Mark, Output, Response, Session, Touched},
};

pub(super) struct NoKeys;

impl PrivateKeys for NoKeys {
    fn private_key(&self, _: &PrivateKeyRef) -> Option<Bytes> {
        None
    }
}

pub(super) fn gateway() -> ResourceKey {
    ResourceKey::local(Kind::GATEWAY, "default", "web")
}

pub(super) fn put(kind: XdsKind, name: &str, domain: &str, body: impl Into<Bytes>) -> Put {
    let mut key = XdsKey::new(gateway(), kind, name);
    key.domain = domain.into();
    Put::new(key, body)
}

pub(super) fn cluster(name: &str) -> Put {
    cluster_with(name, "")
}

/// An EDS cluster with a text in it.
pub(super) fn cluster_with(name: &str, text: &str) -> Put {
    let kind = Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into()));
    let body = Cluster {
        name: name.into(),
        alt_stat_name: text.into(),
        cluster_discovery_type: kind,
        ..Default::default()
    };
    put(XdsKind::Cluster, name, "", body.encode_to_vec())
}

pub(super) struct Bench {
    pub(super) scope: Scope,
    pub(super) session: Session,
}

impl Bench {
    pub(super) fn new() -> Self {
        Bench { scope: Scope::new(gateway(), 128), session: Session::default() }
    }

    /// One whose proxy walks tables of one host each.
    pub(super) fn walking() -> Self {
        Bench { scope: Scope::new(gateway(), 1), session: Session::walking() }
    }

    pub(super) fn publish(&mut self, revision: u64, puts: &[Put], removes: &[XdsKey]) -> Output {
        let (puts, removes): (Vec<_>, Vec<_>) = (puts.iter().collect(), removes.iter().collect());
        let effect = self.scope.apply(Revision(revision), &puts, &removes);
        let mark = Mark::at(Revision(revision));
        let touched = effect.touched.into_iter().map(|id| Touched { id, mark }).collect();
        self.session.step(Input::Changed(touched), &mut self.scope, &NoKeys)
    }

    pub(super) fn request(
        &mut self,
        kind: ResourceType,
        names: &[&str],
        nonce: u64,
        error: Option<&str>,
    ) -> Output {
        let request = DeltaDiscoveryRequest {
            type_url: kind.url().into(),
            resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
            response_nonce: if nonce == 0 { String::new() } else { nonce.to_string() },
            error_detail: error.map(|message| Status { message: message.into(), ..Default::default() }),
            ..Default::default()
        };
        self.session.step(Input::Request(&request), &mut self.scope, &NoKeys)
    }

    pub(super) fn unsubscribe(&mut self, kind: ResourceType, name: &str) -> Output {
        let request = DeltaDiscoveryRequest {
            type_url: kind.url().into(),
            resource_names_unsubscribe: vec![name.to_owned()],
            ..Default::default()
        };
        self.session.step(Input::Request(&request), &mut self.scope, &NoKeys)
    }

    /// ACKs every response, and those that follow, and says which went out.
    pub(super) fn ack_all(&mut self, out: Output) -> Vec<String> {
        let (mut log, mut queue) = (Vec::new(), vec![out]);
        while let Some(out) = queue.pop() {
            for one in out.responses {
                log.push(shown(&one));
                queue.push(self.request(one.kind, &[], one.nonce, None));
            }
        }
        log
    }

    /// A fresh Envoy that has taken in cluster `a`, listener `l` and table `t` with host `h`.
    pub(super) fn started() -> Self {
        let mut bench = Bench::new();
        let puts = [
            cluster("a"),
            put(XdsKind::Endpoints, "a", "", "a1"),
            put(XdsKind::Listener, "l", "", "l1"),
            put(XdsKind::RouteTable, "t", "", "\x0a\x01t"),
            put(XdsKind::VirtualHost, "t", "h", "h1"),
        ];
        bench.publish(1, &puts, &[]);
        for (kind, names) in [
            (ResourceType::Cluster, &[][..]),
            (ResourceType::Endpoints, &["a"]),
            (ResourceType::Listener, &[]),
            (ResourceType::Route, &["t"]),
        ] {
            let out = bench.request(kind, names, 0, None);
            assert_eq!(bench.ack_all(out).len(), 1, "{kind:?}");
        }
        assert_eq!(bench.session.acked, Revision(1));
        bench
    }
}

pub(super) fn shown(one: &Response) -> String {
    let names: Vec<_> = one.resources.iter().map(|resource| resource.name.as_str()).collect();
    let removed: Vec<_> = one.removed.iter().map(|name| format!("-{name}")).collect();
    format!("{} {}{}", one.kind.label(), names.join(","), removed.join(","))
}
