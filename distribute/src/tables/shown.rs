//! All routes of a listener in one table, for people to read.

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::{ArcStr, ContentHash, Put, ResourceKey, XdsKind};

use super::{PieceId, RouteTables};
use crate::piece::Content;

/// A route table as proxies get it that do not walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeTable {
    /// Its Gateway.
    pub scope: ResourceKey,
    /// Its name.
    pub name: ArcStr,
    /// Hash of its content.
    pub version: ContentHash,
    /// The encoded `RouteConfiguration`.
    pub body: Bytes,
}

/// The route tables that are made of some pieces; other pieces are passed over.
pub fn whole_tables<'a>(puts: impl IntoIterator<Item = &'a Put>) -> Vec<WholeTable> {
    let mut all: BTreeMap<(&ResourceKey, &ArcStr), RouteTables> = BTreeMap::new();
    for put in puts {
        if matches!(put.key.kind, XdsKind::RouteTable | XdsKind::VirtualHost | XdsKind::Routes) {
            let new = || RouteTables::new(put.key.name.clone(), usize::MAX, true);
            let tables = all.entry((&put.key.scope, &put.key.name)).or_insert_with(new);
            let id = PieceId { domain: put.key.domain.clone(), route: put.key.route.clone() };
            tables.add_piece(id, Content::from(put), 0);
        }
    }
    let table = |((scope, name), mut tables): ((&ResourceKey, &ArcStr), RouteTables)| {
        tables.settle(0);
        let (version, _) = tables.version(name)?;
        Some(WholeTable { scope: scope.clone(), name: name.clone(), version, body: tables.body(name)? })
    };
    all.into_iter().filter_map(table).collect()
}
