//! Keys of the one sled tree: events by revision in pieces, the index by key, and what the log is.
//!
//! One tree, because a batch of sled is atomic within one.

use proto::Revision;

/// Format of the log; another one is refused by name.
pub(super) const FORMAT: &[u8] = b"1";
pub(super) const FORMAT_KEY: &[u8] = b"m/format";
pub(super) const IDENTITY_KEY: &[u8] = b"m/identity";
pub(super) const FLOOR_KEY: &[u8] = b"m/floor";

/// Largest piece of a record. sled puts a page of more than 128 KiB in a file of its own, which it does
/// not sync; a page holds about 16 entries.
pub(super) const PIECE: usize = 4096;

const EVENT: u8 = b'e';
const INDEX: u8 = b'k';

/// Key of a piece of a record.
pub(super) fn piece_key(revision: Revision, piece: u32) -> [u8; 13] {
    let mut key = [EVENT; 13];
    key[1..9].copy_from_slice(&revision.0.to_be_bytes());
    key[9..].copy_from_slice(&piece.to_be_bytes());
    key
}

/// Takes a piece's key apart.
pub(super) fn revision_and_piece(key: &[u8]) -> Option<(Revision, u32)> {
    let key: &[u8; 13] = key.try_into().ok()?;
    if key[0] != EVENT {
        return None;
    }
    let revision = u64::from_be_bytes(key[1..9].try_into().ok()?);
    Some((Revision(revision), u32::from_be_bytes(key[9..].try_into().ok()?)))
}

/// How many pieces a record of this length has.
pub(super) fn pieces(length: usize) -> u32 {
    length.div_ceil(PIECE) as u32
}

/// All pieces after those of a revision.
pub(super) fn pieces_after(revision: Revision) -> std::ops::RangeInclusive<[u8; 13]> {
    piece_key(revision, u32::MAX)..=piece_key(Revision(u64::MAX), u32::MAX)
}

/// The tree's key for a key of the index (or for the start of one).
pub(super) fn index_key(key: &[u8]) -> Vec<u8> {
    [&[INDEX], key].concat()
}

/// Undoes [`index_key`].
pub(super) fn without_tag(key: &[u8]) -> &[u8] {
    key.strip_prefix(&[INDEX]).unwrap_or(key)
}
