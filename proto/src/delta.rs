//! What one batch of events changes for the proxies.

mod codec;
mod wire;

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{ArcStr, ContentHash, FencingEpoch, LogId, Partition, Report, ResourceKey, Revision, Routing};
pub use codec::{DeltaError, SCHEMA};

/// Kind of an xDS piece, the smallest thing that changes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum XdsKind {
    /// `envoy.config.cluster.v3.Cluster`
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`
    Endpoints,
    /// `envoy.config.listener.v3.Listener` for proxies that are given whole route tables.
    Listener,
    /// The same for proxies that have the module which walks from one route table to another.
    ScopedListener,
    /// `envoy.config.route.v3.RouteConfiguration` without its virtual hosts.
    RouteTable,
    /// `envoy.config.route.v3.VirtualHost`, one of a route table.
    VirtualHost,
    /// The routes of one HTTPRoute for one virtual host, see [`Routing::Routes`].
    Routes,
    /// `envoy.extensions.transport_sockets.tls.v3.Secret`; a private key is never in the body, see
    /// [`Put::private_key`].
    Secret,
}

impl XdsKind {
    /// Full name of the protobuf message in the body of a put; of routes, one with only its `routes`.
    pub fn message_name(self) -> &'static str {
        match self {
            XdsKind::Cluster => "envoy.config.cluster.v3.Cluster",
            XdsKind::Endpoints => "envoy.config.endpoint.v3.ClusterLoadAssignment",
            XdsKind::Listener | XdsKind::ScopedListener => "envoy.config.listener.v3.Listener",
            XdsKind::RouteTable => "envoy.config.route.v3.RouteConfiguration",
            XdsKind::VirtualHost | XdsKind::Routes => "envoy.config.route.v3.VirtualHost",
            XdsKind::Secret => "envoy.extensions.transport_sockets.tls.v3.Secret",
        }
    }
}

/// Identity of an xDS piece. The scope is part of the key, so a push never filters and a proxy can
/// never be given another Gateway's resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct XdsKey {
    /// The Gateway whose proxies get this.
    pub scope: ResourceKey,
    /// What it is.
    pub kind: XdsKind,
    /// Name of the resource; for a virtual host the name of its route table.
    pub name: ArcStr,
    /// For a virtual host and its routes its domain (`*`, `*.example.com`, `a.example.com`), else empty.
    pub domain: ArcStr,
    /// For routes the object that they come of, e.g. `httproute/<namespace>/<name>`, else empty.
    pub route: ArcStr,
}

impl XdsKey {
    /// Key of a whole resource.
    pub fn new(scope: ResourceKey, kind: XdsKind, name: impl Into<ArcStr>) -> Self {
        XdsKey { scope, kind, name: name.into(), domain: ArcStr::new(), route: ArcStr::new() }
    }

    /// Key of a virtual host in a route table.
    pub fn virtual_host(scope: ResourceKey, table: impl Into<ArcStr>, domain: impl Into<ArcStr>) -> Self {
        XdsKey { domain: domain.into(), ..XdsKey::new(scope, XdsKind::VirtualHost, table) }
    }

    /// Key of the routes that an object has in a virtual host.
    pub fn routes(
        scope: ResourceKey,
        table: impl Into<ArcStr>,
        domain: impl Into<ArcStr>,
        route: impl Into<ArcStr>,
    ) -> Self {
        let (domain, route) = (domain.into(), route.into());
        XdsKey { domain, route, ..XdsKey::new(scope, XdsKind::Routes, table) }
    }
}

impl fmt::Display for XdsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.scope.namespaced_name(), self.kind, self.name)?;
        if !self.domain.is_empty() {
            write!(f, " [{}]", self.domain)?;
        }
        if !self.route.is_empty() {
            write!(f, " {}", self.route)?;
        }
        Ok(())
    }
}

/// A new or changed xDS piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// What it is and whose.
    pub key: XdsKey,
    /// Hash of the body (and of the private key's fingerprint, for a secret).
    pub version: ContentHash,
    /// The encoded protobuf message ([`XdsKind::message_name`]); shared, never copied per proxy.
    pub body: Bytes,
    /// For a TLS certificate: the private key that the distributor must join in at the last moment,
    /// because keys never enter the log or a delta.
    pub private_key: Option<PrivateKeyRef>,
    /// For virtual hosts and routes: what puts them together.
    pub routing: Option<Routing>,
}

impl Put {
    /// A piece that is all in its body.
    pub fn new(key: XdsKey, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Put { key, version: ContentHash::of(&body), body, private_key: None, routing: None }
    }

    /// Size of what is encoded in it, bytes.
    pub fn size(&self) -> usize {
        let routes: usize = match &self.routing {
            Some(Routing::Routes(set)) => set.entries.iter().map(|entry| entry.body.len()).sum(),
            _ => 0,
        };
        self.body.len() + routes
    }
}

/// Names a private key without containing it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrivateKeyRef {
    /// The Kubernetes Secret that holds it.
    pub secret: ResourceKey,
    /// Hash of the PEM certificate chain that it belongs to, so that an old certificate is never
    /// paired with a new key.
    pub certificate: ContentHash,
}

/// What a delta is put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// On nothing: the delta is all of its partition, and what it does not have is gone. So begins whoever comes
    /// anew, or has fallen too far behind.
    Nothing,
    /// On what was there at a revision.
    At(Revision),
}

impl Default for Base {
    fn default() -> Self {
        Base::At(Revision::NONE)
    }
}

/// All that one batch of events changes, at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The partition it belongs to.
    pub partition: Partition,
    /// Whose it is: what an earlier owner of the partition says is refused.
    pub epoch: FencingEpoch,
    /// The log that it comes of; revisions of two logs are not compared.
    pub log: LogId,
    /// Position of the last event of the batch.
    pub revision: Revision,
    /// What it is put on.
    pub base: Base,
    /// When the oldest event of the batch was observed by its source, nanoseconds since the Unix
    /// epoch; 0 if unknown.
    pub observed_unix_nanos: i64,
    /// New and changed pieces, in key order.
    pub puts: Vec<Put>,
    /// Pieces that are gone, in key order.
    pub removes: Vec<XdsKey>,
    /// Statuses that changed, in key order.
    pub reports: Vec<Report>,
}

impl Delta {
    /// True if neither proxies nor statuses change.
    pub fn is_empty(&self) -> bool {
        self.base != Base::Nothing
            && self.puts.is_empty()
            && self.removes.is_empty()
            && self.reports.is_empty()
    }
}
