//! The virtual hosts of the one table that proxies get which do not walk.

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::{ArcStr, ContentHash};

use super::encode;
use super::hosts::{part, reversed};

/// Encoded virtual hosts, in the order of all tables. One changed host costs O(log n) for the version.
#[derive(Debug, Default)]
pub(super) struct Whole {
    hosts: BTreeMap<Vec<u8>, Host>,
    version: ContentHash,
    size: usize,
}

#[derive(Debug)]
struct Host {
    domain: ArcStr,
    part: ContentHash,
    body: Vec<u8>,
}

impl Whole {
    /// Takes a virtual host as it is now, none if it is gone.
    pub(super) fn put(&mut self, domain: &ArcStr, body: Option<Vec<u8>>) {
        let key = reversed(domain);
        let new = body.map(|body| Host { domain: domain.clone(), part: part(domain, &body), body });
        if let Some(new) = &new {
            self.version = self.version.with(new.part);
            self.size += room(new);
        }
        let old = match new {
            Some(new) => self.hosts.insert(key, new),
            None => self.hosts.remove(&key),
        };
        if let Some(old) = old {
            self.version = self.version.without(old.part);
            self.size -= room(&old);
        }
    }

    /// Hash of all virtual hosts.
    pub(super) fn version(&self) -> ContentHash {
        self.version
    }

    /// The domain whose virtual host's part of the version is the wanted one.
    pub(super) fn part_that(&self, is_wanted: impl Fn(ContentHash) -> bool) -> Option<ArcStr> {
        self.hosts.values().find(|host| is_wanted(host.part)).map(|host| host.domain.clone())
    }

    /// The table with this beginning.
    pub(super) fn body(&self, header: &[u8]) -> Bytes {
        let mut body = Vec::with_capacity(header.len() + self.size);
        body.extend_from_slice(header);
        for host in self.hosts.values() {
            encode::append(encode::VIRTUAL_HOSTS, &host.body, &mut body);
        }
        body.into()
    }
}

/// Upper bound of the encoded size of one host.
fn room(host: &Host) -> usize {
    host.body.len() + 11
}
