//! The newest events, durable before sled has them.
//!
//! One small batch costs sled's threads a dozen wake-ups and the disk two flushes; here it is one write in place and
//! one fdatasync, and sled takes many together later.
//!
//! ```text
//! frame:  checksum (8)  length (4)  records, see record.rs
//! ```
//!
//! Frames begin at the start of the file again after each time that sled has taken them. The checksum is seeded with
//! the log's identity and the frame's first revision, so what is left of an earlier round, or of another log, is no
//! frame of this one.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use proto::{Event, Revision};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    Error, LogId,
    record::{self, Prepared},
};

/// Size of the file, all of it written once: then a sync need not wait for the file system's own journal.
const BYTES: usize = 1 << 20;
const HEADER: usize = 12;

/// A file of frames.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    identity: LogId,
    /// Where the next frame begins.
    at: usize,
}

impl Journal {
    /// Opens the one of a log, or makes it.
    pub(super) fn open(dir: &Path, identity: LogId) -> io::Result<Journal> {
        let file =
            File::options().create(true).truncate(false).read(true).write(true).open(dir.join("journal"))?;
        if file.metadata()?.len() != BYTES as u64 {
            file.write_all_at(&vec![0; BYTES], 0)?;
            file.set_len(BYTES as u64)?;
            file.sync_all()?;
            File::open(dir)?.sync_all()?;
        }
        Ok(Journal { file, identity, at: 0 })
    }

    /// The events that follow a revision.
    ///
    /// # Errors
    /// If the file cannot be read, or a later version wrote it.
    pub(super) fn recover(&self, dir: &Path, head: Revision) -> Result<Vec<Event>, Error> {
        let mut bytes = vec![0; BYTES];
        self.file
            .read_exact_at(&mut bytes, 0)
            .map_err(|error| Error::Directory { dir: dir.to_owned(), reason: error.to_string() })?;
        let (mut rest, mut last, mut events) = (&bytes[..], head, Vec::new());
        while let Some((mut records, after)) = self.frame(rest, last.next()) {
            while !records.is_empty() {
                last = last.next();
                let length = record::record_length(records, last)?;
                let (record, more) = records.split_at_checked(length).unwrap_or((records, &[]));
                events.push(record::decode(record, last)?);
                records = more;
            }
            rest = after;
        }
        Ok(events)
    }

    /// The records of the frame that these bytes begin with, and what follows it.
    fn frame<'a>(&self, bytes: &'a [u8], first: Revision) -> Option<(&'a [u8], &'a [u8])> {
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        let checksum = u64::from_be_bytes(header[..8].try_into().ok()?);
        let length = u32::from_be_bytes(header[8..].try_into().ok()?) as usize;
        let (records, rest) = rest.split_at_checked(length)?;
        (length > 0 && checksum == self.checksum(records, first)).then_some((records, rest))
    }

    fn checksum(&self, records: &[u8], first: Revision) -> u64 {
        // A record's own checksum is seeded with a revision, too: it must not pass for a frame's.
        xxh3_64_with_seed(records, xxh3_64_with_seed(&self.identity.0.to_be_bytes(), first.0))
    }

    /// Makes events durable, the first of which has this revision; false if there is no room for them.
    pub(super) fn append(&mut self, first: Revision, events: &[Prepared]) -> io::Result<bool> {
        let mut frame = vec![0; HEADER];
        let mut revision = first;
        for event in events {
            frame.extend(event.record(revision));
            revision = revision.next();
        }
        if self.at + frame.len() > BYTES {
            return Ok(false);
        }
        let checksum = self.checksum(&frame[HEADER..], first);
        let length = (frame.len() - HEADER) as u32;
        frame[..8].copy_from_slice(&checksum.to_be_bytes());
        frame[8..HEADER].copy_from_slice(&length.to_be_bytes());
        self.file.write_all_at(&frame, self.at as u64)?;
        self.file.sync_data()?;
        self.at += frame.len();
        Ok(true)
    }

    /// Sled has all of it.
    pub(super) fn rewind(&mut self) {
        self.at = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use proto::{Event, Revision};

    use super::{HEADER, Journal};
    use crate::{LogId, contract::upsert, record::Prepared};

    fn prepared(events: &[Event]) -> Vec<Prepared> {
        events.iter().map(|event| Prepared::new(event).unwrap()).collect()
    }

    fn events(names: &[&str]) -> Vec<Event> {
        names.iter().map(|name| upsert(name, 1, "1")).collect()
    }

    #[test]
    fn what_was_appended_is_recovered_and_nothing_of_an_earlier_round() {
        let dir = tempfile::tempdir().unwrap();
        let open = |identity| Journal::open(dir.path(), LogId(identity)).unwrap();
        let recovered = |identity, head| open(identity).recover(dir.path(), Revision(head)).unwrap();
        let mut journal = open(7);
        assert!(journal.append(Revision(1), &prepared(&events(&["a", "b"]))).unwrap());
        assert!(journal.append(Revision(3), &prepared(&events(&["c"]))).unwrap());
        assert_eq!(recovered(7, 0), events(&["a", "b", "c"]));
        assert_eq!(recovered(7, 3), [], "sled has them");
        assert_eq!(recovered(8, 0), [], "another log's");
        journal.rewind();
        assert!(journal.append(Revision(4), &prepared(&events(&["d"]))).unwrap());
        assert_eq!(recovered(7, 3), events(&["d"]));
        assert_eq!(recovered(7, 0), []);
    }

    #[test]
    fn half_a_frame_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), LogId(7)).unwrap();
        journal.append(Revision(1), &prepared(&events(&["a"]))).unwrap();
        let end = journal.at;
        journal.append(Revision(2), &prepared(&events(&["b", "c"]))).unwrap();
        let whole = events(&["a", "b", "c"]);
        assert_eq!(journal.recover(dir.path(), Revision::NONE).unwrap(), whole);
        for at in [end, end + 8, end + HEADER, journal.at - 1] {
            let mut byte = [0];
            journal.file.read_exact_at(&mut byte, at as u64).unwrap();
            journal.file.write_all_at(&[byte[0] ^ 1], at as u64).unwrap();
            assert_eq!(journal.recover(dir.path(), Revision::NONE).unwrap(), whole[..1], "at {at}");
            journal.file.write_all_at(&byte, at as u64).unwrap();
        }
    }

    #[test]
    fn a_full_one_takes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), LogId(7)).unwrap();
        let large =
            Event { change: proto::Change::Upsert(vec![b'x'; 400 << 10].into()), ..upsert("a", 1, "1") };
        let large = prepared(&[large]);
        let taken: Vec<bool> = (1..4).map(|at| journal.append(Revision(at), &large).unwrap()).collect();
        assert_eq!(taken, [true, true, false]);
        assert_eq!(journal.recover(dir.path(), Revision::NONE).unwrap().len(), 2);
    }
}
