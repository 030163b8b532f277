//! How far this server is in each partition, and which deltas fit there.

use std::collections::BTreeMap;

use proto::{Base, Delta, FencingEpoch, LogId, Partition, Revision};

/// Why a delta is not taken. Nothing of it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Somebody says it who does not own the partition any more.
    #[error("partition {}: an owner of epoch {} says it, and {} has come since", partition.0, said.0, now.0)]
    Fenced {
        /// The partition.
        partition: Partition,
        /// The epoch of who said it.
        said: FencingEpoch,
        /// The epoch of the owner.
        now: FencingEpoch,
    },
    /// Something before it is missing: who sends it has to send all of the partition, on nothing.
    #[error("partition {}: a delta on revision {base} does not fit on revision {have}", partition.0)]
    Gap {
        /// The partition.
        partition: Partition,
        /// What it is put on.
        base: Revision,
        /// What is here; [`Revision::NONE`] if nothing of its log is.
        have: Revision,
    },
    /// It has been taken before.
    #[error("partition {}: revision {revision} is older than {have}", partition.0)]
    Old {
        /// The partition.
        partition: Partition,
        /// That of the delta.
        revision: Revision,
        /// What is here.
        have: Revision,
    },
}

#[derive(Clone, Copy, Debug)]
struct Position {
    epoch: FencingEpoch,
    log: LogId,
    revision: Revision,
}

/// Where each partition is.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    partitions: BTreeMap<Partition, Position>,
}

impl Positions {
    /// Goes on with a delta; true if it is the first of another log than before, whose revisions begin anew.
    ///
    /// # Errors
    /// If it does not fit.
    pub(crate) fn advance(&mut self, delta: &Delta) -> Result<bool, Unfit> {
        let (partition, revision) = (delta.partition, delta.revision);
        let here = self.partitions.get(&partition).copied();
        if let Some(here) = here
            && delta.epoch < here.epoch
        {
            return Err(Unfit::Fenced { partition, said: delta.epoch, now: here.epoch });
        }
        let of_log = here.filter(|here| here.log == delta.log);
        let have = of_log.map_or(Revision::NONE, |here| here.revision);
        match delta.base {
            Base::At(base) if base > have => return Err(Unfit::Gap { partition, base, have }),
            Base::At(_) if here.is_some() && of_log.is_none() => {
                return Err(Unfit::Gap { partition, base: Revision::NONE, have });
            }
            Base::At(_) if revision < have => return Err(Unfit::Old { partition, revision, have }),
            Base::At(_) | Base::Nothing => {}
        }
        self.partitions.insert(partition, Position { epoch: delta.epoch, log: delta.log, revision });
        Ok(here.is_some() && (of_log.is_none() || revision < have))
    }

    /// The newest revision of a partition.
    pub(crate) fn revision(&self, partition: Partition) -> Revision {
        self.partitions.get(&partition).map_or(Revision::NONE, |here| here.revision)
    }
}

#[cfg(test)]
mod tests {
    use proto::{Base, Delta, FencingEpoch, LogId, Partition, Revision};

    use super::{Positions, Unfit};

    fn delta(epoch: u64, log: u128, base: Option<u64>, revision: u64) -> Delta {
        Delta {
            epoch: FencingEpoch(epoch),
            log: LogId(log),
            base: base.map_or(Base::Nothing, |base| Base::At(Revision(base))),
            revision: Revision(revision),
            ..Delta::default()
        }
    }

    #[test]
    fn revisions_are_compared_within_one_log_of_one_partition() {
        let mut positions = Positions::default();
        let mut take = |delta: Delta| positions.advance(&delta);
        assert_eq!(take(delta(1, 7, None, 10)), Ok(false));
        assert_eq!(take(delta(1, 7, Some(10), 12)), Ok(false));
        let partition = Partition(0);
        let (base, have) = (Revision(13), Revision(12));
        assert_eq!(take(delta(1, 7, Some(13), 14)), Err(Unfit::Gap { partition, base, have }));
        let revision = Revision(11);
        assert_eq!(take(delta(1, 7, Some(10), 11)), Err(Unfit::Old { partition, revision, have }));
        // Another partition counts on its own.
        assert_eq!(take(Delta { partition: Partition(1), ..delta(1, 9, None, 3) }), Ok(false));
        // A new owner, and what the one before it still says.
        assert_eq!(take(delta(2, 7, None, 12)), Ok(false));
        let (said, now) = (FencingEpoch(1), FencingEpoch(2));
        assert_eq!(take(delta(1, 7, Some(12), 13)), Err(Unfit::Fenced { partition, said, now }));
        // A log that begins anew says all that there is, first.
        assert!(matches!(take(delta(2, 8, Some(0), 1)), Err(Unfit::Gap { .. })));
        assert_eq!(take(delta(2, 8, None, 2)), Ok(true));
        assert_eq!(take(delta(2, 8, Some(2), 3)), Ok(false));
        assert_eq!([partition, Partition(1)].map(|of| positions.revision(of).0), [3, 3]);
    }
}
