//! The shape of route tables: one `RouteConfiguration` a table, by RDS.
//!
//! Repeated protobuf fields concatenate, so the resource is the encoded header followed by one
//! `virtual_hosts` field for each host. The version is a hash over the set of hosts: one changed host
//! costs O(1) for the version, and one memcpy for the body, when somebody needs it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use proto::{ArcStr, ContentHash};

use crate::piece::{Content, Piece, Verdict};

/// Tag of `RouteConfiguration.virtual_hosts`: field 2, length-delimited.
const VIRTUAL_HOSTS: u8 = 0x12;

/// A route table; the piece under the empty domain is its header.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pieces: BTreeMap<ArcStr, Piece>,
    unproven: BTreeSet<ArcStr>,
    parts: ContentHash,
    size: usize,
    assembled: Option<Bytes>,
    /// Position of the last change of what is served.
    pub(crate) seq: u64,
}

impl Table {
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// True if the table as such exists, served or not.
    pub(crate) fn has_header(&self) -> bool {
        self.pieces.contains_key("")
    }

    /// Version of what is served; none without a header to serve.
    pub(crate) fn version(&self) -> Option<ContentHash> {
        self.header().map(|_| self.parts)
    }

    pub(crate) fn piece(&self, domain: &str) -> Option<&Piece> {
        self.pieces.get(domain)
    }

    pub(crate) fn unproven(&self) -> impl Iterator<Item = &ArcStr> {
        self.unproven.iter()
    }

    /// Domains of the virtual hosts in the order in which they are encoded.
    pub(crate) fn served_domains(&self) -> impl Iterator<Item = &ArcStr> {
        self.hosts().map(|(domain, _)| domain)
    }

    /// True if a piece is left out because no version of it is known to be good.
    pub(crate) fn leaves_out(&self) -> bool {
        self.pieces.values().any(|piece| piece.served().is_none())
    }

    /// The one virtual host that a proxy with this version lacks of what is served.
    pub(crate) fn lacking(&self, version: ContentHash) -> Option<&ArcStr> {
        let lacks = |domain: &ArcStr, content: &Content| self.parts.without(part(domain, content)) == version;
        self.hosts().find(|(domain, content)| lacks(domain, content)).map(|(domain, _)| domain)
    }

    /// Adds a piece that was not there.
    pub(crate) fn add(&mut self, domain: &ArcStr, content: Content, seq: u64) {
        self.count(domain, &content);
        self.pieces.insert(domain.clone(), Piece::new(content, seq));
        self.unproven.insert(domain.clone());
        self.seq = seq;
    }

    /// Removes a piece and returns it; what is served may have changed.
    pub(crate) fn remove(&mut self, domain: &str, seq: u64) -> Option<Piece> {
        let (domain, piece) = self.pieces.remove_entry(domain)?;
        if let Some(content) = piece.served() {
            self.discount(&domain, content);
        }
        self.unproven.remove(&domain);
        self.seq = seq;
        Some(piece)
    }

    /// Changes a piece; true if what is served changed, which then is change number `seq`.
    pub(crate) fn change(&mut self, domain: &str, seq: u64, edit: impl FnOnce(&mut Piece)) -> bool {
        let Some((domain, mut piece)) = self.pieces.remove_entry(domain) else { return false };
        let before = piece.served().cloned();
        edit(&mut piece);
        let after = piece.served();
        let changed = before.as_ref().map(|one| one.version) != after.map(|one| one.version);
        if changed {
            if let Some(content) = &before {
                self.discount(&domain, content);
            }
            if let Some(content) = after {
                self.count(&domain, content);
            }
            piece.seq = seq;
            self.seq = seq;
        }
        match piece.verdict() {
            Verdict::Unproven => self.unproven.insert(domain.clone()),
            _ => self.unproven.remove(&domain),
        };
        self.pieces.insert(domain, piece);
        changed
    }

    /// The encoded `RouteConfiguration`, assembled when first asked for and then shared.
    pub(crate) fn body(&mut self) -> Option<Bytes> {
        if self.assembled.is_none() {
            let mut body = BytesMut::with_capacity(self.size);
            body.put_slice(&self.header()?.body);
            for (_, content) in self.hosts() {
                body.put_u8(VIRTUAL_HOSTS);
                prost::encoding::encode_varint(content.body.len() as u64, &mut body);
                body.put_slice(&content.body);
            }
            self.assembled = Some(body.freeze());
        }
        self.assembled.clone()
    }

    fn header(&self) -> Option<&Content> {
        self.pieces.get("")?.served()
    }

    fn hosts(&self) -> impl Iterator<Item = (&ArcStr, &Content)> {
        self.pieces
            .iter()
            .filter(|(domain, _)| !domain.is_empty())
            .filter_map(|(domain, piece)| Some((domain, piece.served()?)))
    }

    fn count(&mut self, domain: &str, content: &Content) {
        self.parts = self.parts.with(part(domain, content));
        self.size += room(content);
        self.assembled = None;
    }

    fn discount(&mut self, domain: &str, content: &Content) {
        self.parts = self.parts.without(part(domain, content));
        self.size -= room(content);
        self.assembled = None;
    }
}

fn part(domain: &str, content: &Content) -> ContentHash {
    ContentHash::of_named(domain, &content.version.0.to_le_bytes())
}

/// Upper bound of the encoded size of one host.
fn room(content: &Content) -> usize {
    content.body.len() + 11
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
    use prost::Message;
    use proto::ContentHash;

    use super::Table;
    use crate::piece::Content;

    fn content(body: Vec<u8>) -> Content {
        Content { version: ContentHash::of(&body), body: body.into(), private_key: None }
    }

    fn host(name: &str) -> Content {
        content(
            VirtualHost { name: name.into(), domains: vec![name.into()], ..Default::default() }
                .encode_to_vec(),
        )
    }

    fn header() -> Content {
        content(RouteConfiguration { name: "t".into(), ..Default::default() }.encode_to_vec())
    }

    #[test]
    fn a_table_is_its_header_and_hosts() {
        let mut table = Table::default();
        table.add(&"b".into(), host("b"), 1);
        assert_eq!(table.version(), None);
        table.add(&"".into(), header(), 2);
        table.add(&"a".into(), host("a"), 3);
        let config = RouteConfiguration::decode(table.body().unwrap()).unwrap();
        assert_eq!(config.name, "t");
        assert_eq!(config.virtual_hosts.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn the_version_depends_on_content_only() {
        let (mut one, mut two) = (Table::default(), Table::default());
        for domain in ["", "a", "b"] {
            one.add(&domain.into(), host(domain), 1);
        }
        for domain in ["b", "c", "a", ""] {
            two.add(&domain.into(), host("x"), 1);
            two.change(domain, 2, |piece| piece.replace(host(domain)));
        }
        assert_ne!(one.version(), two.version());
        assert!(two.remove("c", 3).is_some());
        assert_eq!(one.version(), two.version());
        assert_eq!(one.body(), two.body());
    }
}
