//! The index by key: which revisions an object has, and as much of each event as retention asks for.
//!
//! An index key is cluster, kind, namespace and name, each behind its length, then the revision; all
//! numbers are big-endian, so that the entries of an object and of a cluster's kind lie side by side.

use proto::{Change, Epoch, Event, ResourceKey, Revision};

use crate::Error;

/// Longest name in a key. Kubernetes allows 253 bytes.
const LONGEST: usize = u16::MAX as usize;
const REVISION: usize = 8;

/// What an event does, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The object exists, as of this epoch.
    Object(Epoch),
    Delete,
    /// Objects of older epochs are gone.
    Synced(Epoch),
}

impl Mark {
    pub(crate) fn of(event: &Event) -> Mark {
        match event.change {
            Change::Upsert(_) | Change::Unknown(_) => Mark::Object(event.epoch),
            Change::Delete => Mark::Delete,
            Change::Synced { sweep_before } => Mark::Synced(sweep_before),
        }
    }

    pub(crate) fn encode(self) -> [u8; 9] {
        let (tag, epoch) = match self {
            Mark::Object(epoch) => (1, epoch),
            Mark::Delete => (2, Epoch(0)),
            Mark::Synced(epoch) => (3, epoch),
        };
        let mut bytes = [0; 9];
        bytes[0] = tag;
        bytes[1..].copy_from_slice(&epoch.0.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Mark> {
        let (tag, epoch) = bytes.split_first()?;
        let epoch = Epoch(u64::from_be_bytes(epoch.try_into().ok()?));
        match tag {
            1 => Some(Mark::Object(epoch)),
            2 => Some(Mark::Delete),
            3 => Some(Mark::Synced(epoch)),
            _ => None,
        }
    }
}

/// The part of the index keys that all events of an object share.
pub(crate) fn object_prefix(key: &ResourceKey) -> Result<Vec<u8>, Error> {
    let parts = [&key.cluster.0, &key.kind.0, &key.namespace, &key.name];
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 2).sum::<usize>() + REVISION);
    for part in parts {
        let length = u16::try_from(part.len()).map_err(|_| Error::Refused {
            key: Box::new(key.clone()),
            reason: format!("a name has {} bytes, the log takes {LONGEST}: shorten it", part.len()),
        })?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Ok(bytes)
}

/// The part of the index keys that the `Synced` events of an object's cluster and kind share.
pub(crate) fn synced_prefix(key: &ResourceKey) -> Result<Vec<u8>, Error> {
    object_prefix(&key.sibling(key.kind.clone(), "", ""))
}

/// The index key of one event.
pub(crate) fn entry_key(object: &[u8], revision: Revision) -> Vec<u8> {
    [object, &revision.0.to_be_bytes()].concat()
}

/// One entry of the index, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct IndexEntry {
    /// Object prefix.
    pub(crate) object: Vec<u8>,
    /// How much of the prefix is cluster and kind.
    pub(crate) group: usize,
    pub(crate) revision: Revision,
    pub(crate) mark: Mark,
}

impl IndexEntry {
    /// None if these are not the bytes of an entry.
    pub(crate) fn decode(key: &[u8], mark: &[u8]) -> Option<IndexEntry> {
        let (object, revision) = key.split_at_checked(key.len().checked_sub(REVISION)?)?;
        let mut group = 0;
        for _ in 0..2 {
            let length = object.get(group..group + 2)?.try_into().ok()?;
            group += 2 + usize::from(u16::from_be_bytes(length));
        }
        object.get(..group)?;
        Some(IndexEntry {
            object: object.to_vec(),
            group,
            revision: Revision(u64::from_be_bytes(revision.try_into().ok()?)),
            mark: Mark::decode(mark)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proto::{ClusterId, Epoch, Kind, ResourceKey, Revision};

    use super::{IndexEntry, Mark, entry_key, object_prefix};

    #[test]
    fn an_entry_comes_back() {
        let key = ResourceKey::local(Kind::HTTP_ROUTE, "default", "web");
        let object = object_prefix(&key).unwrap();
        for mark in [Mark::Object(Epoch(3)), Mark::Delete, Mark::Synced(Epoch(u64::MAX))] {
            let entry = IndexEntry::decode(&entry_key(&object, Revision(7)), &mark.encode()).unwrap();
            assert_eq!((entry.object.as_slice(), entry.revision, entry.mark), (&*object, Revision(7), mark));
            let other = object_prefix(&key.sibling(Kind::HTTP_ROUTE, "a", "b")).unwrap();
            assert_eq!(object[..entry.group], other[..entry.group]);
        }
    }

    #[test]
    fn no_object_is_the_prefix_of_another() {
        let keys = [("a", "b"), ("a", ""), ("", "a"), ("ab", ""), ("", ""), ("a\0", "b"), ("a", "bc")];
        let prefixes =
            keys.map(|(ns, name)| object_prefix(&ResourceKey::local(Kind::SERVICE, ns, name)).unwrap());
        for (i, a) in prefixes.iter().enumerate() {
            for b in prefixes.iter().skip(i + 1) {
                assert!(!a.starts_with(b) && !b.starts_with(a), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn nonsense_is_no_entry() {
        assert!(IndexEntry::decode(&[], &Mark::Delete.encode()).is_none());
        assert!(IndexEntry::decode(&[255; 12], &Mark::Delete.encode()).is_none());
        assert!(IndexEntry::decode(&[0; 16], &[9; 9]).is_none());
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        let cluster = ClusterId("x".repeat(70_000).into());
        let key = ResourceKey { cluster, kind: Kind::SERVICE, namespace: "a".into(), name: "b".into() };
        assert!(object_prefix(&key).unwrap_err().to_string().contains("70000"));
    }
}
