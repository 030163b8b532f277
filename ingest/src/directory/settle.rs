//! From what was read to events: only differences from what the log has.

use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use proto::{Change, ContentHash, Epoch, Event, Kind, ResourceKey};

use super::Batch;
use super::file::RelativePath;
use super::tree::{Claim, Content, Emitted, Pass, Taking, Tree};
use crate::kinds::KINDS;
use crate::source::order;

impl Tree {
    /// The first complete listing.
    pub(super) fn list(&mut self, files: &[PathBuf], observed: i64) -> Batch {
        if files.is_empty() && !self.held.is_empty() {
            self.empty_until = Some(Instant::now() + self.limits().directory_grace);
        }
        let mut pass = Pass::default();
        for file in files {
            if let Some(path) = self.relative(file) {
                self.load(&path, Taking::Changes, &mut pass);
            }
        }
        let mut batch = self.settle(pass, observed);
        batch.events.splice(..0, self.without_keys(observed));
        let Epoch(epoch) = self.options.epoch;
        batch.events.extend(KINDS.iter().map(|known| {
            let cluster = self.options.cluster.clone();
            Event::synced(cluster, known.kind.clone(), Epoch(epoch), Epoch(0), observed)
        }));
        batch.listed = true;
        batch
    }

    /// Ends a pass: what has changed becomes events.
    pub(super) fn settle(&mut self, mut pass: Pass, observed: i64) -> Batch {
        let (mut upserts, mut deletes) = (Vec::new(), Vec::new());
        // A second round reads the contents of objects that take another's place; a third is only for
        // those that moved in that moment. Whatever is left is told by the next notification.
        for _ in 0..3 {
            let mut unread: Vec<(RelativePath, ResourceKey)> = Vec::new();
            let dirty: Vec<ResourceKey> = pass.dirty.drain().collect();
            for key in dirty {
                self.contend(&key);
                match self.winner(&key).cloned() {
                    None => deletes.extend(self.delete(&key, observed)),
                    Some(winner) => match self.upsert(&key, &winner, &mut pass, observed) {
                        Ok(event) => upserts.extend(event),
                        Err(()) => unread.push((winner.file, key)),
                    },
                }
            }
            if unread.is_empty() {
                break;
            }
            unread.sort();
            pass.dirty.extend(unread.iter().map(|(_, key)| key.clone()));
            unread.dedup_by(|a, b| a.0 == b.0);
            for (file, _) in unread {
                self.load(&file, Taking::Contents, &mut pass);
            }
        }
        deletes.extend(self.unseen(observed));
        Batch { events: order(upserts, deletes), faults: self.changed_faults(), listed: false }
    }

    /// What the log had at the start and no file has: gone, unless a file hides it.
    fn unseen(&mut self, observed: i64) -> Vec<Event> {
        if self.held.is_empty() {
            self.empty_until = None;
        }
        let is_empty = self.empty_until.is_some_and(|until| Instant::now() < until);
        if !self.hiding.is_empty() || !self.unread.is_empty() || self.vanished || is_empty {
            return Vec::new();
        }
        self.empty_until = None;
        let held = std::mem::take(&mut self.held);
        held.iter().filter_map(|key| self.delete(key, observed)).collect()
    }

    /// Secrets that the log has and a file hides: nobody has their private keys, so no new proxy can serve with them.
    /// Their own files will tell when they can be read again.
    fn without_keys(&mut self, observed: i64) -> Vec<Event> {
        let keyless = std::mem::take(&mut self.keyless);
        let hidden = keyless.into_iter().filter(|(key, _)| self.held.contains(key)).collect::<Vec<_>>();
        hidden.into_iter().filter_map(|(key, payload)| self.emit_keyless(&key, payload, observed)).collect()
    }

    fn emit_keyless(&mut self, key: &ResourceKey, payload: Bytes, observed: i64) -> Option<Event> {
        let emitted = self.emitted.get_mut(key)?;
        let hash = ContentHash::of(&payload);
        emitted.hash = Some(hash);
        let generation = emitted.generation;
        Some(self.event(key, &hash.to_string(), generation, observed, payload))
    }

    fn changed_faults(&mut self) -> Option<Vec<crate::SourceFault>> {
        let faults = self.faults();
        if faults == self.reported {
            return None;
        }
        self.reported.clone_from(&faults);
        Some(faults)
    }

    fn contend(&mut self, key: &ResourceKey) {
        let claims = self.claims.get(key).map(Vec::as_slice).unwrap_or_default();
        if claims.len() > 1 && claims.iter().filter(|claim| self.is_present(claim)).count() > 1 {
            self.contested.insert(key.clone());
        } else {
            self.contested.remove(key);
        }
    }

    /// `Err` if the object has changed and its content is not at hand.
    fn upsert(
        &mut self,
        key: &ResourceKey,
        winner: &Claim,
        pass: &mut Pass,
        observed: i64,
    ) -> Result<Option<Event>, ()> {
        self.held.remove(key);
        let mut content = content(key, winner, pass);
        if let Some((certificate, private_key)) =
            content.as_mut().and_then(|content| content.private_key.take())
        {
            self.keys.put(key, certificate, private_key);
        }
        let before = self.emitted.get(key).copied();
        if before.is_some_and(|before| before.hash == Some(winner.hash)) {
            return Ok(None);
        }
        let payload = content.map(|content| content.payload.clone()).ok_or(())?;
        let counted = match before {
            None => 1,
            Some(before) if before.spec == Some(winner.spec) => before.generation,
            Some(before) => before.generation.saturating_add(1),
        };
        let generation = winner.generation.unwrap_or(counted);
        let now = Emitted { hash: Some(winner.hash), spec: Some(winner.spec), generation };
        self.emitted.insert(key.clone(), now);
        Ok(Some(self.event(key, &winner.hash.to_string(), generation, observed, payload)))
    }

    fn event(
        &self,
        key: &ResourceKey,
        version: &str,
        generation: i64,
        observed: i64,
        payload: Bytes,
    ) -> Event {
        Event {
            key: key.clone(),
            uid: proto::ArcStr::new(),
            resource_version: version.into(),
            generation,
            epoch: self.options.epoch,
            observed_unix_nanos: observed,
            trace_parent: proto::ArcStr::new(),
            change: Change::Upsert(payload),
        }
    }

    fn delete(&mut self, key: &ResourceKey, observed: i64) -> Option<Event> {
        if self.held.contains(key) {
            return None;
        }
        let before = self.emitted.remove(key)?;
        if key.kind == Kind::SECRET {
            self.keys.remove(key);
        }
        let event = self.event(key, "", before.generation, observed, Bytes::new());
        Some(Event { change: Change::Delete, ..event })
    }
}

fn content<'p>(key: &ResourceKey, winner: &Claim, pass: &'p mut Pass) -> Option<&'p mut Content> {
    pass.contents.get_mut(key)?.iter_mut().find(|content| {
        content.document == winner.document && content.item == winner.item && content.file == winner.file
    })
}
