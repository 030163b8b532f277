//! A bucket of an index: its members, each with how many nodes or objects contribute it.

use std::collections::BTreeMap;

use proto::ResourceKey;

/// Most buckets have one member; those of a list weigh a tenth of those of a tree.
const FEW: usize = 8;

/// Members in order.
#[derive(Debug)]
pub(crate) enum Bucket {
    /// Sorted.
    Few(Vec<(ResourceKey, u32)>),
    Many(BTreeMap<ResourceKey, u32>),
}

impl Default for Bucket {
    fn default() -> Self {
        Bucket::Few(Vec::new())
    }
}

impl Bucket {
    /// Adds a contribution. True if the member is new.
    pub(crate) fn add(&mut self, member: ResourceKey) -> bool {
        if let Bucket::Few(list) = self
            && list.len() == FEW
        {
            *self = Bucket::Many(std::mem::take(list).into_iter().collect());
        }
        match self {
            Bucket::Few(list) => match list.binary_search_by(|(other, _)| other.cmp(&member)) {
                Ok(place) => {
                    list[place].1 += 1;
                    false
                }
                Err(place) => {
                    list.reserve_exact(1);
                    list.insert(place, (member, 1));
                    true
                }
            },
            Bucket::Many(tree) => {
                let count = tree.entry(member).or_default();
                *count += 1;
                *count == 1
            }
        }
    }

    /// Takes a contribution away. True if the member is gone with it.
    pub(crate) fn take(&mut self, member: &ResourceKey) -> bool {
        match self {
            Bucket::Few(list) => {
                let Ok(place) = list.binary_search_by(|(other, _)| other.cmp(member)) else { return false };
                list[place].1 -= 1;
                let gone = list[place].1 == 0;
                if gone {
                    list.remove(place);
                }
                gone
            }
            Bucket::Many(tree) => {
                let Some(count) = tree.get_mut(member) else { return false };
                *count -= 1;
                let gone = *count == 0;
                if gone {
                    tree.remove(member);
                }
                gone
            }
        }
    }

    /// The members, in order.
    pub(crate) fn members(&self) -> impl Iterator<Item = &ResourceKey> {
        let (few, many) = match self {
            Bucket::Few(list) => (Some(list.iter().map(|(member, _)| member)), None),
            Bucket::Many(tree) => (None, Some(tree.keys())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Bucket::Few(list) => list.len(),
            Bucket::Many(tree) => tree.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bucket;
    use proto::{Kind, ResourceKey};

    #[test]
    fn members_stay_in_order_and_count_their_contributions() {
        let key = |number: usize| ResourceKey::local(Kind::SERVICE, "default", format!("s{number:02}"));
        let mut bucket = Bucket::default();
        for number in (0..20).rev() {
            assert!(bucket.add(key(number)));
            assert!(!bucket.add(key(number)), "counted, not new");
        }
        assert!(bucket.members().cloned().eq((0..20).map(key)));
        for number in 0..20 {
            assert!(!bucket.take(&key(number)));
            assert!(bucket.take(&key(number)), "the last contribution takes the member along");
            assert!(!bucket.take(&key(number)));
        }
        assert_eq!(bucket.len(), 0);
    }
}
