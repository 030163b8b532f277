//! What nodes say to each other: plain data, no API and no Envoy types.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::{ArcStr, Condition, Fault, GatewayAddress, Kind, Name, Proxies, ResourceKey};

use super::ClusterKey;
use crate::hostname::{covers, specificity};
use crate::model::AllowedRoutes;

/// The value of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing for readers.
    #[default]
    Absent,
    /// A class of ours, with its GatewayParameters, or why they cannot be read.
    Class(Result<Option<ResourceKey>, Fault>),
    Gateway(Arc<GatewayIr>),
    L4Route(Arc<L4RouteIr>),
    Backend(Arc<BackendIr>),
}

/// A condition in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) holds: bool,
    pub(crate) reason: ArcStr,
    pub(crate) message: ArcStr,
}

impl Verdict {
    /// It holds.
    pub(crate) fn yes(reason: ArcStr, message: impl Into<ArcStr>) -> Self {
        Verdict { holds: true, reason, message: message.into() }
    }

    /// It does not hold, because.
    pub(crate) fn no(reason: ArcStr, message: impl Into<ArcStr>) -> Self {
        Verdict { holds: false, reason, message: message.into() }
    }

    /// As a condition of a type.
    pub(crate) fn condition(&self, kind: ArcStr) -> Condition {
        Condition::new(kind, self.holds, self.reason.clone(), self.message.clone())
    }
}

/// A Gateway of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatewayIr {
    pub(crate) listeners: Vec<ListenerIr>,
    /// Addresses that its listeners bind.
    pub(crate) bound: Vec<ArcStr>,
    /// Addresses at which it is reached, as far as they are known here.
    pub(crate) addresses: Vec<GatewayAddress>,
    /// Ports that its listeners bind, where these are not the Gateway's own.
    pub(crate) ports: BTreeMap<u16, u16>,
    /// Who runs its proxies, where they are pods and it is accepted.
    pub(crate) proxies: Option<Proxies>,
    pub(crate) accepted: Verdict,
    /// Its listeners serve. Also if it is not accepted for its parameters: proxies that are there go on.
    pub(crate) serves: bool,
    /// Conditions of the Gateway itself besides `Accepted` and `Programmed`.
    pub(crate) conditions: Vec<Condition>,
    /// Secret with the certificate that it shows to backends.
    pub(crate) client_certificate: Option<ResourceKey>,
    pub(crate) faults: Vec<Fault>,
    /// ListenerSets that it allows, in the order of their precedence.
    pub(crate) sets: Vec<AttachedSet>,
}

/// A ListenerSet of a Gateway; its listeners are among the Gateway's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttachedSet {
    pub(crate) key: ResourceKey,
    pub(crate) accepted: Verdict,
    pub(crate) faults: Vec<Fault>,
}

/// What a listener takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scheme {
    Http,
    Https,
    /// Connections in TLS, whatever is spoken in it.
    Tls,
    /// Connections.
    Tcp,
}

impl Scheme {
    /// True if it takes requests, by routes in a route table.
    pub(crate) fn is_http(self) -> bool {
        matches!(self, Scheme::Http | Scheme::Https)
    }

    /// True if connections begin with TLS.
    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Scheme::Https | Scheme::Tls)
    }

    /// True if listeners of both may have one port: something tells their requests or connections apart, by hostname.
    pub(crate) fn shares_ports_with(self, other: Scheme) -> bool {
        self == other || (self.is_tls() && other.is_tls())
    }

    /// That of a URI, if it is one of HTTP's.
    pub(crate) fn of_uri(scheme: &str) -> Option<Scheme> {
        match scheme {
            "http" => Some(Scheme::Http),
            "https" => Some(Scheme::Https),
            _ => None,
        }
    }

    pub(crate) fn default_port(self) -> u16 {
        match self {
            Scheme::Http | Scheme::Tcp => 80,
            Scheme::Https | Scheme::Tls => 443,
        }
    }
}

/// One listener of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerIr {
    /// The Gateway or ListenerSet that has it.
    pub(crate) owner: ResourceKey,
    pub(crate) name: ArcStr,
    pub(crate) port: u16,
    /// None: a protocol that we do not serve.
    pub(crate) scheme: Option<Scheme>,
    /// `*` if it has none.
    pub(crate) hostname: ArcStr,
    pub(crate) allowed: AllowedRoutes,
    pub(crate) supported_kinds: Vec<Kind>,
    /// Name of its route table, if it has one or not: none if it does not serve.
    pub(crate) table: Option<ArcStr>,
    /// Valid certificates, where TLS ends here.
    pub(crate) certificates: Vec<ResourceKey>,
    /// True if the keys of all of them are unknown: only proxies that have them already serve.
    pub(crate) keyless: bool,
    /// True if TLS is left to the backends.
    pub(crate) passthrough: bool,
    /// None: clients are not asked for a certificate.
    pub(crate) client_validation: Option<ClientValidationIr>,
    /// What is done with its requests before a route is chosen, in order.
    pub(crate) filters: Vec<ExternalAuthIr>,
    pub(crate) accepted: Verdict,
    pub(crate) resolved: Verdict,
    /// Holds if it conflicts with another listener.
    pub(crate) conflicted: Verdict,
    /// Holds if another HTTPS listener of the port may get its requests over a reused connection.
    pub(crate) overlapping: Option<Verdict>,
}

/// How the certificates of clients are validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientValidationIr {
    /// Objects with the CA certificates: not their text, which wakes nobody but the listener.
    pub(crate) authorities: Vec<ResourceKey>,
    /// True if clients without a valid certificate are let in too.
    pub(crate) insecure_fallback: bool,
}

/// A server that is asked whether a request may pass, and what to add to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExternalAuthIr {
    /// Name of its cluster; none if all requests must be refused.
    pub(crate) cluster: Option<ArcStr>,
    /// What was referred to.
    pub(crate) target: Option<ClusterKey>,
    /// True for Envoy's gRPC protocol, else plain HTTP.
    pub(crate) is_grpc: bool,
    /// Put before the request's path; for HTTP only.
    pub(crate) path: ArcStr,
    /// Headers of the request that it is told; by default all for gRPC, and few for HTTP.
    pub(crate) allowed_headers: Vec<ArcStr>,
    /// Headers of its answer that go into the request, all if none are named; for HTTP only.
    pub(crate) allowed_response_headers: Vec<ArcStr>,
    /// Bytes of the request's body that it is told, at most; 0 for none.
    pub(crate) max_body: u32,
}

/// What a domain of a route table is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VirtualHostRole {
    /// It serves the routes of a listener with this hostname.
    Routes(ArcStr),
    /// Its requests came over a connection to another listener: 421.
    Misdirected,
}

impl ListenerIr {
    /// True if it is this very listener: names are unique in their owner only.
    pub(crate) fn is(&self, other: &ListenerIr) -> bool {
        self.name == other.name && self.owner == other.owner
    }
}

impl GatewayIr {
    /// The listeners of the Gateway itself, or of one of its ListenerSets.
    pub(crate) fn of<'a>(&'a self, owner: &'a ResourceKey) -> impl Iterator<Item = &'a ListenerIr> {
        self.listeners.iter().filter(move |listener| listener.owner == *owner)
    }

    /// The port that a listener's proxies bind.
    pub(crate) fn bound_port(&self, port: u16) -> u16 {
        self.ports.get(&port).copied().unwrap_or(port)
    }

    /// The listener that owns a domain on a port, of those that may have the port together: the one with the most
    /// specific hostname.
    fn owner(&self, scheme: Scheme, port: u16, domain: &str) -> Option<&ListenerIr> {
        self.listeners
            .iter()
            .filter(|listener| {
                listener.table.is_some()
                    && listener.port == port
                    && listener.scheme.is_some_and(|other| other.shares_ports_with(scheme))
                    && covers(&listener.hostname, domain)
            })
            .max_by_key(|listener| specificity(&listener.hostname))
    }

    /// True if a listener serves a domain that it matches, and not a more specific listener.
    pub(crate) fn serves(&self, listener: &ListenerIr, domain: &str) -> bool {
        listener.table.is_some()
            && listener
                .scheme
                .and_then(|scheme| self.owner(scheme, listener.port, domain))
                .is_some_and(|owner| owner.is(listener))
    }

    /// What a domain of a table is for; none if the table is not of this Gateway.
    pub(crate) fn role(&self, table: &str, domain: &str) -> Option<VirtualHostRole> {
        let listener = self.listeners.iter().find(|listener| listener.table.as_deref() == Some(table))?;
        let scheme = listener.scheme?;
        let owner = self.owner(scheme, listener.port, domain)?;
        // An HTTP table is shared by the listeners of its port, an HTTPS table belongs to one.
        Some(if scheme == Scheme::Http || owner.is(listener) {
            VirtualHostRole::Routes(owner.hostname.clone())
        } else {
            VirtualHostRole::Misdirected
        })
    }

    /// True if a domain is the hostname of a listener that has filters; of an HTTPS table, of its own listener.
    pub(crate) fn has_filters(&self, table: &str, domain: &str) -> bool {
        self.listeners.iter().any(|listener| {
            listener.table.as_deref() == Some(table)
                && listener.hostname == domain
                && !listener.filters.is_empty()
        })
    }

    /// Domains that each table has whatever routes there are: listeners' own hostnames, so that a less
    /// specific listener's routes do not answer for them, and for HTTPS those of the port's other
    /// listeners, of protocol TLS too, to be answered 421.
    pub(crate) fn own_domains(&self) -> Vec<(ArcStr, ArcStr)> {
        let mut domains = Vec::new();
        for listener in &self.listeners {
            let (Some(table), Some(scheme)) = (&listener.table, listener.scheme) else { continue };
            if !scheme.is_http() {
                continue;
            }
            for other in &self.listeners {
                if other.table.is_some()
                    && other.port == listener.port
                    && other.scheme.is_some_and(|other| other.shares_ports_with(scheme))
                {
                    domains.push((table.clone(), other.hostname.clone()));
                }
            }
        }
        domains.sort();
        domains.dedup();
        domains
    }
}

/// How to speak to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum UpstreamProtocol {
    Http1,
    /// HTTP/2, with prior knowledge where there is no TLS.
    Http2,
    /// Bytes, whatever they mean.
    Tcp,
    /// Bytes of a client's TLS: never in TLS of ours, whatever policy there is.
    Passthrough,
}

/// TLS to a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsIr {
    /// Server name to ask for, and to be found in the certificate unless `names` says otherwise.
    pub(crate) hostname: ArcStr,
    /// DNS names that the certificate may have instead.
    pub(crate) dns_names: Vec<ArcStr>,
    /// URIs that it may have instead.
    pub(crate) uris: Vec<ArcStr>,
    /// PEM bundle; none for the proxy's own trust store.
    pub(crate) ca: Option<ArcStr>,
}

/// Whether a backend is spoken to in TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamTls {
    Plain,
    Tls(TlsIr),
    /// A policy on it is invalid: requests fail, never in plain text.
    Closed,
}

/// What a Service's port is for a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BackendIr {
    /// Requests can be sent to it.
    Usable {
        /// Name of the Service's port, by which EndpointSlices name theirs.
        port_name: ArcStr,
        /// As the Service has it; none if it leaves that to the routes.
        protocol: Option<UpstreamProtocol>,
        /// The Service says that it is spoken to in TLS, as `tls` should have it.
        says_tls: bool,
        /// Name of the policy that `tls` is of.
        policy: Option<Name>,
        tls: UpstreamTls,
        /// Those that it leads to.
        gateways: BTreeSet<ResourceKey>,
    },
    /// It is not there, or not usable: a `ResolvedRefs` reason and a sentence.
    Unresolved { reason: ArcStr, message: ArcStr },
}

impl BackendIr {
    /// The protocol that its Service asks for, if any.
    pub(crate) fn protocol(&self) -> Option<UpstreamProtocol> {
        match self {
            BackendIr::Usable { protocol, .. } => *protocol,
            BackendIr::Unresolved { .. } => None,
        }
    }

    /// The Gateways that it leads to.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = &ResourceKey> {
        let gateways = match self {
            BackendIr::Usable { gateways, .. } => Some(gateways),
            BackendIr::Unresolved { .. } => None,
        };
        gateways.into_iter().flatten()
    }
}

/// One domain of one listener that a route serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attachment {
    pub(crate) gateway: ResourceKey,
    pub(crate) listener: ArcStr,
    pub(crate) table: ArcStr,
    /// Intersection of the listener's and the route's hostname.
    pub(crate) domain: ArcStr,
    /// The hostname as the route has it, `*` if none: it decides precedence.
    pub(crate) written: ArcStr,
    pub(crate) context: Context,
    /// True if the listener leaves TLS to the backends.
    pub(crate) passthrough: bool,
}

/// A TLSRoute or TCPRoute, for the listeners that it is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct L4RouteIr {
    /// When it was created, RFC 3339.
    pub(crate) created: ArcStr,
    pub(crate) attachments: Vec<Attachment>,
    /// Backends of connections whose TLS ends at the listener, or that have none of our concern.
    pub(crate) terminated: Vec<L4Backend>,
    /// Backends of those whose TLS does not.
    pub(crate) passed: Vec<L4Backend>,
}

/// One backend of connections, with a weight above zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct L4Backend {
    pub(crate) weight: u32,
    /// None: its share of the connections is closed.
    pub(crate) cluster: Option<ArcStr>,
}

/// What of a listener an encoded route depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Context {
    pub(crate) scheme: Scheme,
    pub(crate) port: u16,
}
