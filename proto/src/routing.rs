//! What puts virtual hosts together: each object's routes travel on their own, and whoever serves them
//! merges them in order of precedence.

use std::sync::Arc;

use bytes::Bytes;

use crate::{ArcStr, ContentHash};

/// How a piece takes part in routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routing {
    /// A virtual host. After its own routes it has those of all wider domains up to this one: Envoy itself
    /// never falls through from one virtual host to another.
    UpTo(ArcStr),
    /// Routes of one object for one virtual host.
    Routes(Arc<RouteSet>),
}

/// Routes of one object for one virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSet {
    /// How specific the hostname is as the object has it; the higher go first. Differs within a virtual host
    /// where a listener's hostname narrows those of its routes.
    pub specificity: u16,
    /// When the object was created, RFC 3339; the older go first.
    pub created: ArcStr,
    /// Its routes in order.
    pub entries: Arc<[RouteEntry]>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    /// Precedence of its match (`HTTPRouteRule.matches` of the Gateway API); the lesser go first.
    pub order: u64,
    /// The segments that all paths begin with that it matches, as many as that is true of, with slashes between
    /// but not before them; none if they begin with different ones.
    pub path: Option<ArcStr>,
    /// `envoy.config.route.v3.Route`
    pub body: Bytes,
}

impl RouteSet {
    /// Hash of all of it.
    pub fn version(&self) -> ContentHash {
        let mut bytes =
            Vec::with_capacity(64 + self.entries.iter().map(|one| one.body.len() + 32).sum::<usize>());
        bytes.extend(self.specificity.to_le_bytes());
        let text = |bytes: &mut Vec<u8>, part: &[u8]| {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        };
        text(&mut bytes, self.created.as_bytes());
        for entry in self.entries.iter() {
            bytes.extend(entry.order.to_le_bytes());
            bytes.push(u8::from(entry.path.is_some()));
            text(&mut bytes, entry.path.as_deref().unwrap_or_default().as_bytes());
            text(&mut bytes, &entry.body);
        }
        ContentHash::of(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{RouteEntry, RouteSet};

    #[test]
    fn every_part_changes_the_version() {
        let set = |specificity, created: &str, order, path: Option<&str>, body: &'static [u8]| {
            let entry = RouteEntry { order, path: path.map(Into::into), body: body.into() };
            RouteSet { specificity, created: created.into(), entries: [entry].into() }.version()
        };
        let one = set(1, "c", 1, Some("s"), b"b");
        for other in [
            set(2, "c", 1, Some("s"), b"b"),
            set(1, "d", 1, Some("s"), b"b"),
            set(1, "c", 2, Some("s"), b"b"),
            set(1, "c", 1, Some(""), b"b"),
            set(1, "c", 1, None, b"b"),
            set(1, "c", 1, Some("s"), b"c"),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(one, set(1, "c", 1, Some("s"), b"b"));
    }
}
