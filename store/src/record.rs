//! How an event lies in the log: checksum, length, envelope.

use bytes::Bytes;
use proto::{Event, Revision};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    Error,
    index::{self, Mark},
};

/// Largest envelope that a log takes.
pub(crate) const LARGEST: usize = 64 << 20;
/// Checksum and length.
pub(crate) const HEADER: usize = 12;

/// An event made ready to be stored at any revision.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// See [`index::object_prefix`].
    pub(crate) object: Vec<u8>,
    pub(crate) mark: Mark,
    /// The envelope.
    pub(crate) envelope: Vec<u8>,
}

impl Prepared {
    pub(crate) fn new(event: &Event) -> Result<Prepared, Error> {
        let envelope = event.encode();
        if envelope.len() > LARGEST {
            let reason = format!(
                "the event has {} bytes, the log takes {LARGEST}: make the object smaller",
                envelope.len()
            );
            return Err(Error::Refused { key: Box::new(event.key.clone()), reason });
        }
        let mark = Mark::of(event);
        let mut key = event.key.clone();
        if matches!(mark, Mark::Synced(_)) {
            (key.namespace, key.name) = Default::default();
        }
        Ok(Prepared { object: index::object_prefix(&key)?, mark, envelope })
    }

    /// The record for a revision. The revision is part of the checksum, so a record that turns up at
    /// another one is told.
    pub(crate) fn record(&self, revision: Revision) -> Vec<u8> {
        let mut record = Vec::with_capacity(HEADER + self.envelope.len());
        record.extend_from_slice(&xxh3_64_with_seed(&self.envelope, revision.0).to_be_bytes());
        // LARGEST fits, see new().
        record.extend_from_slice(&(self.envelope.len() as u32).to_be_bytes());
        record.extend_from_slice(&self.envelope);
        record
    }
}

/// How long the record is that starts with these bytes.
pub(crate) fn record_length(start: &[u8], revision: Revision) -> Result<usize, Error> {
    let length = start.get(8..HEADER).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    match length {
        Some(length) if length as usize <= LARGEST => Ok(HEADER + length as usize),
        _ => Err(Error::Record { revision, reason: "its length is not one".to_owned() }),
    }
}

/// Reads the event of a record.
pub(crate) fn decode(record: &[u8], revision: Revision) -> Result<Event, Error> {
    let damaged = |reason: String| Error::Record { revision, reason };
    if record.len() != record_length(record, revision)? {
        return Err(damaged("a part is missing".to_owned()));
    }
    let (header, envelope) = record.split_at(HEADER);
    if header[..8] != xxh3_64_with_seed(envelope, revision.0).to_be_bytes() {
        return Err(damaged("its checksum does not match".to_owned()));
    }
    Event::decode(Bytes::copy_from_slice(envelope)).map_err(|error| damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proto::{ClusterId, Epoch, Event, Kind, Revision};

    use super::{Prepared, decode};
    use crate::Error;

    #[test]
    fn any_damage_is_told() {
        let event = Event::synced(ClusterId::LOCAL, Kind::SERVICE, Epoch(2), Epoch(1), 9);
        let record = Prepared::new(&event).unwrap().record(Revision(5));
        assert_eq!(decode(&record, Revision(5)).unwrap(), event);
        let told = |record: &[u8], revision| matches!(decode(record, revision), Err(Error::Record { .. }));
        assert!(told(&record, Revision(6)), "a record at another revision");
        for at in 0..record.len() {
            assert!(told(&record[..at], Revision(5)), "cut at {at}");
            let mut damaged = record.clone();
            damaged[at] ^= 0x10;
            assert!(told(&damaged, Revision(5)), "flipped at {at}");
        }
    }
}
