//! Which events make up a state, and which a compaction drops. Pure: works on the index alone.

use proto::{Change, Epoch, Event, ResourceKey, Revision};

use crate::{
    Compaction, Error,
    index::{IndexEntry, Mark},
    log::Entry,
};

/// What earlier compactions left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Floor {
    /// Head at the last compaction.
    pub(crate) head: Revision,
    /// See [`Compaction::horizon`](crate::Compaction::horizon).
    pub(crate) horizon: Revision,
    /// See [`Compaction::resume`](crate::Compaction::resume).
    pub(crate) resume: Revision,
}

impl Floor {
    pub(crate) fn encode(self) -> Vec<u8> {
        [self.head, self.horizon, self.resume].iter().flat_map(|revision| revision.0.to_be_bytes()).collect()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Floor> {
        let bytes: &[u8; 24] = bytes.try_into().ok()?;
        let mut numbers = bytes
            .chunks_exact(8)
            .map(|chunk| Revision(chunk.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))));
        Some(Floor { head: numbers.next()?, horizon: numbers.next()?, resume: numbers.next()? })
    }

    pub(crate) fn compaction(self, dropped: usize) -> Compaction {
        Compaction { dropped, horizon: self.horizon, resume: self.resume }
    }

    /// Whether a reader can go on after a revision.
    pub(crate) fn check_cursor(self, after: Revision, head: Revision) -> Result<(), Error> {
        if after > head {
            return Err(Error::Ahead { asked: after, head });
        }
        if after != Revision::NONE && after < self.resume {
            return Err(Error::Compacted { oldest: self.resume });
        }
        Ok(())
    }

    /// Objects gone at or before this are forgotten by the next compaction. The head is not: a log keeps
    /// at least one event at or after `resume`, so a reader always gets to a cursor it can go on from.
    pub(crate) fn forget_until(self, head: Revision) -> Revision {
        self.head.min(Revision(head.0.saturating_sub(1)))
    }

    /// Whether a page that ends with these entries may end there.
    pub(crate) fn page_may_end(self, after: Revision, last: Option<Revision>) -> bool {
        after != Revision::NONE || last.is_none_or(|last| last >= self.resume)
    }

    /// Whether the state as of a revision is known.
    pub(crate) fn check_state(self, at: Revision, head: Revision) -> Result<(), Error> {
        if at > head {
            return Err(Error::Ahead { asked: at, head });
        }
        if at < self.horizon {
            return Err(Error::Compacted { oldest: self.horizon });
        }
        Ok(())
    }
}

/// The events of one cluster and kind.
#[derive(Debug, Default)]
pub(crate) struct Group {
    name: Vec<u8>,
    /// `Synced` events in order.
    synced: Vec<(Revision, Epoch)>,
    objects: Vec<Object>,
}

#[derive(Debug)]
struct Object {
    prefix: Vec<u8>,
    /// In order; never `Synced`.
    versions: Vec<(Revision, Mark)>,
}

/// Takes the entries of an index, in the index's order, group by group.
pub(crate) fn each_group<E>(
    entries: impl Iterator<Item = Result<IndexEntry, E>>,
    mut take: impl FnMut(&Group),
) -> Result<(), E> {
    let mut group = Group::default();
    for entry in entries {
        let entry = entry?;
        if entry.object[..entry.group] != group.name {
            take(&group);
            group = Group { name: entry.object[..entry.group].to_vec(), ..Group::default() };
        }
        group.add(entry);
    }
    take(&group);
    Ok(())
}

/// The versions of an object that the one at a revision follows without an end in between, newest first.
pub(crate) fn followed<E>(
    entries: impl Iterator<Item = Result<IndexEntry, E>>,
    revision: Revision,
) -> Result<Vec<Revision>, E> {
    let mut group = Group::default();
    for entry in entries {
        group.add(entry?);
    }
    let Some(object) = group.objects.first() else { return Ok(Vec::new()) };
    let versions = object.versions.partition_point(|(at, _)| *at < revision);
    let followed = (0..versions).rev().take_while(|index| object.gone(*index, &group.synced).is_none());
    Ok(followed.map(|index| object.versions[index].0).collect())
}

/// Adds to a state what its objects were last of which this build cannot read the newest version.
pub(crate) fn add_readable<E>(
    state: &mut Vec<Entry>,
    followed: impl Fn(&ResourceKey, Revision) -> Result<Vec<Revision>, E>,
    event: impl Fn(Revision) -> Result<Event, E>,
) -> Result<(), E> {
    let mut readable = Vec::new();
    for (revision, newest) in state.iter().filter(|(_, event)| matches!(event.change, Change::Unknown(_))) {
        for earlier in followed(&newest.key, *revision)? {
            let event = event(earlier)?;
            if !matches!(event.change, Change::Unknown(_)) {
                readable.push((earlier, event));
                break;
            }
        }
    }
    if !readable.is_empty() {
        state.append(&mut readable);
        state.sort_unstable_by_key(|(revision, _)| *revision);
    }
    Ok(())
}

/// An event that a compaction drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) object: Vec<u8>,
    pub(crate) revision: Revision,
}

impl Group {
    fn add(&mut self, entry: IndexEntry) {
        if let Mark::Synced(before) = entry.mark {
            self.synced.push((entry.revision, before));
            return;
        }
        let version = (entry.revision, entry.mark);
        match self.objects.last_mut() {
            Some(object) if object.prefix == entry.object => object.versions.push(version),
            _ => self.objects.push(Object { prefix: entry.object, versions: vec![version] }),
        }
    }

    /// The revisions whose events make up the state as of `at`.
    pub(crate) fn state_at(&self, at: Revision, out: &mut Vec<Revision>) {
        let synced = &self.synced[..self.synced.partition_point(|(revision, _)| *revision <= at)];
        out.extend(synced.last().map(|(revision, _)| *revision));
        for object in &self.objects {
            let until = object.versions.partition_point(|(revision, _)| *revision <= at);
            if let Some(index) = until.checked_sub(1)
                && object.gone(index, synced).is_none()
            {
                out.push(object.versions[index].0);
            }
        }
    }

    /// Chooses what to drop and raises the floor accordingly (but for its head).
    pub(crate) fn compact(&self, keep: usize, before: Revision, floor: &mut Floor, out: &mut Vec<Dropped>) {
        let mut needed = vec![false; self.synced.len()];
        for object in &self.objects {
            let last = object.versions.len() - 1;
            let gone = object.gone(last, &self.synced).filter(|gone| *gone <= before);
            let first_kept = if let Some(gone) = gone {
                floor.resume = floor.resume.max(gone);
                object.versions.len()
            } else {
                last.saturating_sub(keep)
            };
            for (index, (revision, _)) in object.versions.iter().enumerate() {
                if index < first_kept {
                    floor.horizon = floor.horizon.max(object.end(index, &self.synced));
                    out.push(Dropped { object: object.prefix.clone(), revision: *revision });
                } else if let Some(sweep) = object.sweep(index, &self.synced) {
                    needed[sweep] = true;
                }
            }
        }
        let first_kept = self.synced.len().saturating_sub(keep + 1);
        for (index, (revision, before)) in self.synced.iter().enumerate().take(first_kept) {
            if needed[index] {
                continue;
            }
            floor.horizon = floor.horizon.max(self.synced[index + 1].0);
            if *before > Epoch(0) {
                floor.resume = floor.resume.max(*revision);
            }
            out.push(Dropped { object: self.synced_prefix(), revision: *revision });
        }
    }

    /// A `Synced` has no namespace and no name.
    fn synced_prefix(&self) -> Vec<u8> {
        [&self.name[..], &[0; 4]].concat()
    }
}

impl Object {
    /// Where a version stops being the state, the revision of the version itself if it is a delete
    /// without a successor.
    fn end(&self, index: usize, synced: &[(Revision, Epoch)]) -> Revision {
        let next = self.versions.get(index + 1).map(|(revision, _)| *revision);
        let sweep = self.sweep(index, synced).map(|sweep| synced[sweep].0);
        sweep.or(next).unwrap_or(self.versions[index].0)
    }

    /// Where the object is gone, if a version is followed by nothing but a sweep or is a delete.
    fn gone(&self, index: usize, synced: &[(Revision, Epoch)]) -> Option<Revision> {
        match self.versions[index] {
            (revision, Mark::Delete) => Some(revision),
            _ => self.sweep(index, synced).map(|sweep| synced[sweep].0),
        }
    }

    /// The first `Synced` that sweeps a version before the next version comes.
    fn sweep(&self, index: usize, synced: &[(Revision, Epoch)]) -> Option<usize> {
        let (from, Mark::Object(epoch)) = self.versions[index] else { return None };
        let until = self.versions.get(index + 1).map_or(Revision(u64::MAX), |(revision, _)| *revision);
        let start = synced.partition_point(|(revision, _)| *revision < from);
        synced[start..]
            .iter()
            .take_while(|(revision, _)| *revision < until)
            .position(|(_, before)| epoch < *before)
            .map(|offset| start + offset)
    }
}
