//! What a node or an object gives to the rest of the graph.

use proto::{Put, Report, ResourceKey};

use crate::Graph;

/// One member of one bucket.
pub type IndexEntry<G> = (<G as Graph>::Index, ResourceKey);

/// The result of a node's computation.
#[derive(Clone, Debug, PartialEq)]
pub struct Output<G: Graph> {
    /// What readers see; equal values wake nobody.
    pub value: G::Value,
    /// Members that it puts into buckets; the engine sorts them.
    pub entries: Vec<IndexEntry<G>>,
    /// Nodes of higher levels that must exist while this one does; the engine sorts them.
    pub demands: Vec<G::Node>,
    /// xDS pieces. A piece belongs to one node only.
    pub puts: Vec<Put>,
    /// Status of the object that the node reports on, see [`Graph::reporter`].
    pub report: Option<Box<Report>>,
}

impl<G: Graph> Output<G> {
    /// An output of which readers see `value`.
    pub fn of(value: G::Value) -> Self {
        Output { value, entries: Vec::new(), demands: Vec::new(), puts: Vec::new(), report: None }
    }

    /// An output that no reader sees anything of.
    pub fn unseen() -> Self {
        Output::of(G::Value::default())
    }

    /// Sorts the parts: equal content must compare equal.
    pub(crate) fn normalised(mut self) -> Self {
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
pub(crate) fn differences<T: Ord>(
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
