//! A version of a table: what is sent, and what of it says where requests go.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use lookup::Step;
use proto::{ArcStr, ContentHash};

use super::encode;
use super::hosts::part;
use super::layout::TableId;

/// What the version has a stub under that is for all domains which the table lacks.
const OTHERWISE: &str = "walk";

/// A version of a table that proxies walk. Shared by all who serve it or know that a proxy has it.
#[derive(Debug)]
pub(crate) struct TableVersion {
    pub(super) id: TableId,
    pub(crate) version: ContentHash,
    /// The encoded `RouteConfiguration`.
    pub(crate) body: Bytes,
    /// Length of what all tables begin with.
    header: usize,
    pub(super) hosts: Vec<Host>,
    /// Where requests go on that no domain takes.
    pub(super) otherwise: Option<Step>,
}

/// A virtual host of a table.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) domain: ArcStr,
    body: Range<usize>,
    /// Where its requests go on, if its routes are not here.
    pub(super) step: Option<Arc<Step>>,
}

/// A virtual host apart from its table.
#[derive(Clone, Debug)]
pub(super) struct Routed {
    pub(super) body: Bytes,
    pub(super) step: Option<Arc<Step>>,
}

impl TableVersion {
    /// The table with this header and these virtual hosts.
    pub(super) fn new(
        id: TableId,
        name: &str,
        header: &[u8],
        hosts: impl IntoIterator<Item = (ArcStr, Routed)>,
        otherwise: Option<Step>,
    ) -> Self {
        let mut version = part("", header);
        let mut body = header.to_vec();
        encode::rename(name, &mut body);
        let mut all = Vec::new();
        for (domain, host) in hosts {
            version = version.with(part(&domain, &host.body));
            encode::append(encode::VIRTUAL_HOSTS, &host.body, &mut body);
            let end = body.len();
            all.push(Host { domain, body: end - host.body.len()..end, step: host.step });
        }
        if let Some(step) = &otherwise {
            let host = encode::otherwise(&encode::stub(step));
            version = version.with(part(OTHERWISE, &host));
            encode::append(encode::VIRTUAL_HOSTS, &host, &mut body);
        }
        TableVersion { id, version, body: body.into(), header: header.len(), hosts: all, otherwise }
    }

    /// The same table with other virtual hosts and another stub.
    pub(super) fn with(
        &self,
        name: &str,
        hosts: impl IntoIterator<Item = (ArcStr, Routed)>,
        otherwise: Option<Step>,
    ) -> Self {
        TableVersion::new(self.id.clone(), name, &self.body[..self.header], hosts, otherwise)
    }

    /// Its virtual hosts by domain.
    pub(super) fn routed(&self) -> impl Iterator<Item = (ArcStr, Routed)> {
        self.hosts.iter().map(|host| {
            let routed = Routed { body: self.body.slice(host.body.clone()), step: host.step.clone() };
            (host.domain.clone(), routed)
        })
    }

    /// True if it has the same domains as another, and leads on to the same tables.
    pub(crate) fn leads_as(&self, other: &TableVersion) -> bool {
        let shape = |table: &TableVersion| {
            table.hosts.iter().map(|host| (host.domain.clone(), host.step.clone())).collect::<Vec<_>>()
        };
        self.hosts.len() == other.hosts.len()
            && self.otherwise == other.otherwise
            && shape(self) == shape(other)
    }

    /// Names of the tables that it leads to, but for those that lead to it: nobody comes there otherwise.
    pub(crate) fn leads_to(&self) -> Vec<String> {
        let steps = self.hosts.iter().filter_map(|host| host.step.as_deref());
        let otherwise = self.otherwise.as_ref().filter(|_| !matches!(self.id, TableId::Suffixes(..)));
        steps.chain(otherwise).flat_map(Step::targets).collect()
    }

    /// The one virtual host that a table of another version lacks.
    pub(super) fn lacking(&self, version: ContentHash) -> Option<ArcStr> {
        let is_it = |domain: &str, body: &[u8]| self.version.without(part(domain, body)) == version;
        let host = self.routed().find(|(domain, host)| is_it(domain, &host.body));
        let stub = || {
            let body = encode::otherwise(&encode::stub(self.otherwise.as_ref()?));
            is_it(OTHERWISE, &body).then(|| ArcStr::from(OTHERWISE))
        };
        host.map(|(domain, _)| domain).or_else(stub)
    }
}
