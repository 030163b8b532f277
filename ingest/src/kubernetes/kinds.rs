//! What the source reads, for whoever grants or checks the rights to it.

use proto::Kind;

use crate::kinds::KINDS;

/// A kind that the source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadKind {
    /// Group and name.
    pub kind: Kind,
    /// Its name in paths of the API, e.g. `httproutes`.
    pub plural: &'static str,
    /// The versions that are understood, newest first.
    pub versions: &'static [&'static str],
    /// True if its status is written.
    pub has_status: bool,
    /// The name of the only object of it that is read; none if all are.
    pub only: Option<&'static str>,
}

/// All kinds that the source reads.
pub fn kinds() -> impl Iterator<Item = ReadKind> {
    KINDS.iter().map(|known| ReadKind {
        kind: known.kind.clone(),
        plural: known.plural,
        versions: known.versions,
        has_status: known.has_status,
        only: known.fields.and_then(|fields| fields.strip_prefix("metadata.name=")),
    })
}
