//! Reads: of durable events only, that is, up to the head.

use std::path::Path;

use proto::{Event, ResourceKey, Revision};

use super::{
    database::Open,
    layout::{index_key, piece_key, pieces, pieces_after, revision_and_piece, without_tag},
};
use crate::{
    Error,
    index::{IndexEntry, entry_key, object_prefix, synced_prefix},
    log::Entry,
    record,
    retention::{Floor, add_readable, each_group, followed},
};

/// Bytes of records after which a read stops.
const PAGE_BYTES: usize = 8 << 20;

/// A view of the log as of a head.
pub(super) struct Reading<'a> {
    pub(super) open: &'a Open,
    pub(super) head: Revision,
    pub(super) dir: &'a Path,
}

impl Reading<'_> {
    pub(super) fn floor(&self) -> Floor {
        self.open.floor
    }

    pub(super) fn read(&self, after: Revision, limit: usize) -> Result<Vec<Entry>, Error> {
        self.floor().check_cursor(after, self.head)?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let mut last = None;
        while (entries.len() < limit && bytes < PAGE_BYTES) || !self.floor().page_may_end(after, last) {
            let Some((revision, record)) = self.next_record(last.unwrap_or(after))? else { break };
            bytes += record.len();
            entries.push((revision, record::decode(&record, revision)?));
            last = Some(revision);
        }
        Ok(entries)
    }

    pub(super) fn oldest(&self) -> Result<Revision, Error> {
        let first = self.open.db.range(pieces_after(Revision::NONE)).keys().next().transpose();
        let first = first.map_err(|error| self.fault(error))?;
        let first = first.and_then(|key| revision_and_piece(&key)).map(|(revision, _)| revision);
        Ok(first.filter(|first| *first <= self.head).unwrap_or_else(|| self.head.next()))
    }

    pub(super) fn history(&self, key: &ResourceKey, limit: usize) -> Result<Vec<Entry>, Error> {
        let entries = self.index_of(object_prefix(key)?).rev().take(limit);
        let revisions = entries.map(|entry| Ok(entry?.revision));
        revisions
            .map(|revision: Result<_, Error>| revision.and_then(|at| Ok((at, self.event(at)?))))
            .collect()
    }

    /// The index entries that share a prefix, in order of revision.
    fn index_of(&self, prefix: Vec<u8>) -> impl DoubleEndedIterator<Item = Result<IndexEntry, Error>> {
        let first = index_key(&entry_key(&prefix, Revision::NONE));
        let range = first..=index_key(&entry_key(&prefix, self.head));
        self.open.db.range(range).map(|pair| self.index_entry(pair))
    }

    pub(super) fn state_at(&self, revision: Revision) -> Result<Vec<Entry>, Error> {
        self.floor().check_state(revision, self.head)?;
        let mut revisions = Vec::new();
        each_group(self.index(), |group| group.state_at(revision, &mut revisions))?;
        revisions.sort_unstable();
        let entries = revisions.into_iter().map(|revision| Ok((revision, self.event(revision)?)));
        let mut entries = entries.collect::<Result<Vec<_>, Error>>()?;
        let followed = |key: &ResourceKey, revision| {
            let of_object = self.index_of(object_prefix(key)?);
            followed(of_object.chain(self.index_of(synced_prefix(key)?)), revision)
        };
        add_readable(&mut entries, followed, |revision| self.event(revision))?;
        Ok(entries)
    }

    /// The whole index, as far as it is durable.
    pub(super) fn index(&self) -> impl Iterator<Item = Result<IndexEntry, Error>> {
        let entries = self.open.db.scan_prefix(index_key(&[])).map(|pair| self.index_entry(pair));
        entries.filter(|entry| entry.as_ref().map_or(true, |entry| entry.revision <= self.head))
    }

    /// How many pieces the record of a revision has.
    pub(super) fn pieces(&self, revision: Revision) -> Result<u32, Error> {
        Ok(pieces(record::record_length(&self.piece(revision, 0)?, revision)?))
    }

    fn next_record(&self, after: Revision) -> Result<Option<(Revision, Vec<u8>)>, Error> {
        let Some(pair) = self.open.db.range(pieces_after(after)).next() else { return Ok(None) };
        let (key, start) = pair.map_err(|error| self.fault(error))?;
        match revision_and_piece(&key) {
            Some((revision, _)) if revision > self.head => Ok(None),
            Some((revision, 0)) => Ok(Some((revision, self.record(revision, &start)?))),
            _ => Err(Error::Record { revision: after.next(), reason: "its start is missing".to_owned() }),
        }
    }

    fn event(&self, revision: Revision) -> Result<Event, Error> {
        let start = self.piece(revision, 0)?;
        record::decode(&self.record(revision, &start)?, revision)
    }

    fn record(&self, revision: Revision, start: &[u8]) -> Result<Vec<u8>, Error> {
        let length = record::record_length(start, revision)?;
        let mut record = Vec::with_capacity(length);
        record.extend_from_slice(start);
        for piece in 1..pieces(length) {
            record.extend_from_slice(&self.piece(revision, piece)?);
        }
        Ok(record)
    }

    fn piece(&self, revision: Revision, piece: u32) -> Result<sled::IVec, Error> {
        let found = self.open.db.get(piece_key(revision, piece)).map_err(|error| self.fault(error))?;
        found.ok_or_else(|| Error::Record { revision, reason: "a part is missing".to_owned() })
    }

    fn index_entry(&self, pair: sled::Result<(sled::IVec, sled::IVec)>) -> Result<IndexEntry, Error> {
        let (key, mark) = pair.map_err(|error| self.fault(error))?;
        IndexEntry::decode(without_tag(&key), &mark).ok_or_else(|| Error::Damaged {
            dir: self.dir.to_owned(),
            reason: "an entry of its index is malformed".to_owned(),
        })
    }

    fn fault(&self, error: sled::Error) -> Error {
        let (dir, reason) = (self.dir.to_owned(), error.to_string());
        match error {
            sled::Error::Io(_) => Error::Storage { dir, reason },
            _ => Error::Damaged { dir, reason },
        }
    }
}
