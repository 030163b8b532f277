//! A reader's state at one revision, saved so that a restart need not fold the whole log.

use async_trait::async_trait;
use bytes::Bytes;
use proto::{Event, Revision};
use rkyv::{rancor, util::AlignedVec};
use xxhash_rust::xxh3::xxh3_128;

use crate::{Error, LogId};

/// Keeps at most one snapshot, the last. Every implementation MUST pass `contract::snapshots`.
#[async_trait]
pub trait SnapshotStore: Send + Sync + 'static {
    /// Replaces the snapshot. MUST be atomic and durable: after a crash there is the old one or the new.
    ///
    /// # Errors
    /// If it cannot be stored; the old one stays.
    async fn save(&self, snapshot: &Snapshot) -> Result<(), Error>;

    /// The last snapshot. MUST NOT fail for one that cannot be used: that is [`Loaded::Unusable`], and
    /// the caller rebuilds its state from the log.
    ///
    /// # Errors
    /// Only if the store itself is broken.
    async fn load(&self) -> Result<Loaded, Error>;
}

/// The state of a log at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The log; a snapshot of another one must not be used.
    pub log: LogId,
    /// The last revision in it. If it is above the head of the log it must not be used.
    pub revision: Revision,
    /// The newest event of each object that is not gone.
    pub events: Vec<Event>,
}

/// What [`SnapshotStore::load`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Nothing was saved yet.
    None,
    /// The last snapshot.
    Found(Snapshot),
    /// One that cannot be used: damaged, cut, or of another version.
    Unusable {
        /// For the operator's log.
        reason: String,
    },
}

const MAGIC: [u8; 8] = *b"fleetsnp";
/// Changes with the layout of the body or of the header.
const FORMAT: u32 = 1;
/// Snapshots are not kept across versions.
const CRATE: &str = env!("CARGO_PKG_VERSION");
/// Magic, format, crate version padded with zeroes, hash of the body. A multiple of the alignment of rkyv.
const HEADER: usize = 64;
const VERSION: std::ops::Range<usize> = 12..44;
const HASH: std::ops::Range<usize> = 48..64;

/// Log identity, revision, envelopes: rkyv archives tuples without a type of our own.
type Body = (u128, u64, Vec<Vec<u8>>);

/// The file form: header, then the rkyv archive.
pub(crate) fn encode(snapshot: &Snapshot) -> Result<AlignedVec, String> {
    let body: Body =
        (snapshot.log.0, snapshot.revision.0, snapshot.events.iter().map(Event::encode).collect());
    let mut bytes = AlignedVec::new();
    bytes.extend_from_slice(&[0; HEADER]);
    let mut bytes = rkyv::api::high::to_bytes_in::<_, rancor::Error>(&body, bytes)
        .map_err(|error| format!("the snapshot cannot be encoded: {error}"))?;
    let hash = xxh3_128(&bytes[HEADER..]);
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[VERSION].copy_from_slice(&padded_version());
    bytes[HASH].copy_from_slice(&hash.to_le_bytes());
    Ok(bytes)
}

/// Reads the file form; the error says why it cannot be used.
pub(crate) fn decode(bytes: &AlignedVec) -> Result<Snapshot, String> {
    let Some((header, body)) = bytes.split_at_checked(HEADER) else {
        return Err(format!("it has {} bytes, too few for a header", bytes.len()));
    };
    if header[..8] != MAGIC {
        return Err("it is not a snapshot of fleetgate".to_owned());
    }
    if header[8..12] != FORMAT.to_le_bytes() {
        return Err(format!("it has another format than {FORMAT}"));
    }
    if header[VERSION] != padded_version() {
        let version = String::from_utf8_lossy(&header[VERSION]);
        return Err(format!("version {} wrote it, this is {CRATE}", version.trim_end_matches('\0')));
    }
    if header[HASH] != xxh3_128(body).to_le_bytes() {
        return Err("its content does not match its hash: it is damaged or cut".to_owned());
    }
    let body = rkyv::access::<rkyv::Archived<Body>, rancor::Error>(body)
        .map_err(|error| format!("its archive is malformed: {error}"))?;
    let events = body.2.iter().map(|envelope| Event::decode(Bytes::copy_from_slice(envelope)));
    Ok(Snapshot {
        log: LogId(body.0.to_native()),
        revision: Revision(body.1.to_native()),
        events: events.collect::<Result<_, _>>().map_err(|error| format!("an event in it: {error}"))?,
    })
}

fn padded_version() -> [u8; 32] {
    let mut padded = [0; 32];
    let length = CRATE.len().min(padded.len());
    padded[..length].copy_from_slice(&CRATE.as_bytes()[..length]);
    padded
}
