//! What a node or an object gives to the rest of the graph.

use proto::{Put, Report};

use crate::graph::{IndexKey, Member, NodeKey, Value};

/// One member of one bucket.
pub(crate) type IndexEntry = (IndexKey, Member);

/// The result of a node's computation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// What readers see; equal values wake nobody.
    pub(crate) value: Value,
    /// Index members, sorted.
    pub(crate) entries: Vec<IndexEntry>,
    /// Nodes of higher levels that must exist while this one does, sorted.
    pub(crate) demands: Vec<NodeKey>,
    /// xDS pieces, sorted by key. A piece belongs to one node only.
    pub(crate) puts: Vec<Put>,
    /// Status of an object. At most one node reports on an object.
    pub(crate) report: Option<Box<Report>>,
}

impl Output {
    /// An output of which readers see `value`.
    pub(crate) fn of(value: Value) -> Self {
        Output { value, entries: Vec::new(), demands: Vec::new(), puts: Vec::new(), report: None }
    }

    /// Sorts the parts: equal content must compare equal.
    pub(super) fn normalise(mut self) -> Self {
        self.entries.sort();
        self.entries.dedup();
        self.entries.shrink_to_fit();
        self.demands.sort();
        self.demands.dedup();
        self.demands.shrink_to_fit();
        self.puts.sort_by(|a, b| a.key.cmp(&b.key));
        self
    }
}

/// Calls `removed` and `added` for the differences of two sorted lists.
pub(super) fn differences<T: Ord>(
    old: &[T],
    new: &[T],
    mut removed: impl FnMut(&T),
    mut added: impl FnMut(&T),
) {
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        match (old.get(i), new.get(j)) {
            (Some(a), Some(b)) if a == b => {
                i += 1;
                j += 1;
            }
            (Some(a), Some(b)) if a < b => {
                removed(a);
                i += 1;
            }
            (Some(a), None) => {
                removed(a);
                i += 1;
            }
            (_, Some(b)) => {
                added(b);
                j += 1;
            }
            (None, None) => break,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn differences_of_sorted_lists() {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        super::differences(&[1, 2, 4, 6], &[2, 3, 6, 7], |x| removed.push(*x), |x| added.push(*x));
        assert_eq!((removed, added), (vec![1, 4], vec![3, 7]));
    }
}
