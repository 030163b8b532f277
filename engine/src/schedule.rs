//! From events to dirty nodes, level by level.

use proto::{Change, Epoch, Event, Put, ResourceKey, Revision};

use crate::contribution::differences;
use crate::dependency::Dependency;
use crate::failure::{self, Failure};
use crate::objects::Objects;
use crate::{Cx, Engine, Graph, IndexEntry, Node, NodeId, Output};

/// The result of a computation, or what its panic said; and what it read until then.
type Computed<G> = (Result<Output<G>, String>, Vec<Dependency<<G as Graph>::Node, <G as Graph>::Index>>);

impl<G: Graph> Engine<G> {
    /// Takes one event into the objects and marks what it touches.
    pub(crate) fn take(&mut self, revision: Revision, event: &Event) {
        match &event.change {
            Change::Upsert(json) => {
                self.change_object(&event.key, |objects| objects.upsert(revision, event, json));
            }
            Change::Delete => self.change_object(&event.key, |objects| objects.remove(&event.key)),
            Change::Synced { sweep_before } if *sweep_before > Epoch(0) => {
                for key in self.objects.swept(&event.key, *sweep_before) {
                    self.change_object(&key, |objects| objects.remove(&key));
                }
            }
            Change::Synced { .. } => {}
            Change::Unknown(_) => self.change_object(&event.key, |objects| objects.skip(event)),
        }
    }

    fn change_object(&mut self, key: &ResourceKey, change: impl FnOnce(&mut Objects<G>) -> bool) {
        let (old_entries, old_roots) = self.objects.contribution(key);
        let was_faulty = self.objects.is_faulty(key);
        if !change(&mut self.objects) {
            return;
        }
        let (entries, roots) = self.objects.contribution(key);
        if was_faulty || self.objects.is_faulty(key) {
            self.changes.reports.insert(key.clone());
        }
        self.contribute(&old_entries, &entries, &old_roots, &roots);
        self.mark_readers(&Dependency::Object(key.clone()));
    }

    /// Applies the difference of two contributions to indexes and demand.
    fn contribute(
        &mut self,
        old_entries: &[IndexEntry<G>],
        entries: &[IndexEntry<G>],
        old_demands: &[G::Node],
        demands: &[G::Node],
    ) {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        differences(old_entries, entries, |e| removed.push(e.clone()), |e| added.push(e.clone()));
        for (index, member) in removed {
            let Some(bucket) = self.indexes.get_mut(&index) else { continue };
            if bucket.take(&member) {
                if bucket.len() == 0 {
                    self.indexes.remove(&index);
                }
                self.mark_readers(&Dependency::Index(index));
            }
        }
        for (index, member) in added {
            if self.indexes.entry(index.clone()).or_default().add(member) {
                self.mark_readers(&Dependency::Index(index));
            }
        }
        let (mut dropped, mut wanted) = (Vec::new(), Vec::new());
        differences(old_demands, demands, |d| dropped.push(d.clone()), |d| wanted.push(d.clone()));
        for key in wanted {
            self.demand(key);
        }
        for key in dropped {
            self.undemand(&key);
        }
    }

    fn demand(&mut self, key: G::Node) {
        if let Some(id) = self.ids.get(&key).copied() {
            if let Some(node) = self.nodes[id as usize].as_mut() {
                node.demand += 1;
            }
            return;
        }
        let node =
            Node { key: key.clone(), output: Output::unseen(), reads: Vec::new(), demand: 1, dirty: false };
        let id = if let Some(id) = self.free.pop() {
            self.nodes[id as usize] = Some(node);
            id
        } else {
            self.nodes.push(Some(node));
            NodeId::try_from(self.nodes.len() - 1).expect("invariant: fewer than 2^32 nodes")
        };
        self.stats.stage(G::stage(&key)).nodes += 1;
        self.ids.insert(key, id);
        self.mark(id);
    }

    fn undemand(&mut self, key: &G::Node) {
        let Some(id) = self.ids.get(key).copied() else { return };
        if let Some(node) = self.nodes[id as usize].as_mut() {
            node.demand -= 1;
            if node.demand == 0 {
                self.mark(id);
            }
        }
    }

    fn mark_readers(&mut self, dependency: &Dependency<G::Node, G::Index>) {
        for id in self.dependencies.readers(dependency).to_vec() {
            self.mark(id);
        }
    }

    fn mark(&mut self, id: NodeId) {
        let Some(node) = self.nodes[id as usize].as_mut() else { return };
        if !node.dirty {
            node.dirty = true;
            let level = G::level(&node.key);
            self.stats.stage(G::stage(&node.key)).dirty += 1;
            self.dirty[level].push(id);
        }
    }

    /// Runs the dirty nodes. A node marks only nodes of higher levels, so one pass is enough.
    pub(crate) fn run_levels(&mut self) {
        for level in 0..G::LEVELS {
            for id in std::mem::take(&mut self.dirty[level]) {
                let Some(node) = self.nodes[id as usize].as_mut() else { continue };
                node.dirty = false;
                if node.demand == 0 {
                    self.remove_node(id);
                } else {
                    self.recompute(id);
                }
            }
        }
    }

    fn recompute(&mut self, id: NodeId) {
        let Some(key) = self.nodes[id as usize].as_ref().map(|node| node.key.clone()) else { return };
        let (computed, reads) = self.compute(&key);
        self.stats.stage(G::stage(&key)).recomputed += 1;
        match computed {
            Ok(output) => {
                self.read(id, reads);
                self.heal(&key);
                self.put_out(id, key, output);
            }
            Err(message) => {
                // The last good output stays, and so does what it was made of, which tells whose it is. A change of
                // what was read until the panic is a reason to try again.
                let Some(node) = self.nodes[id as usize].as_ref() else { return };
                let kept = node.reads.iter().filter_map(|read| self.dependencies.get(*read).cloned());
                let reads = kept.chain(reads).collect();
                self.read(id, reads);
                self.fail(key, message);
            }
        }
    }

    /// Computes a node from what is there now.
    pub(crate) fn compute(&self, key: &G::Node) -> Computed<G> {
        let mut cx = Cx::new(self, G::level(key));
        let output = failure::caught(|| G::compute(key, &mut cx).normalised());
        (output, cx.reads)
    }

    fn read(&mut self, id: NodeId, reads: Vec<Dependency<G::Node, G::Index>>) {
        let Some(node) = self.nodes[id as usize].as_mut() else { return };
        let old = std::mem::take(&mut node.reads);
        node.reads = self.dependencies.replace(id, &old, reads);
    }

    fn put_out(&mut self, id: NodeId, key: G::Node, output: Output<G>) {
        let Some(node) = self.nodes[id as usize].as_mut() else { return };
        if node.output == output {
            return;
        }
        let old = std::mem::replace(&mut node.output, output.clone());
        if old.value != output.value {
            self.stats.stage(G::stage(&key)).changed += 1;
            self.mark_readers(&Dependency::Node(key));
        }
        self.spread(&old, &output);
    }

    fn fail(&mut self, key: G::Node, message: String) {
        let stage = G::stage(&key);
        self.stats.stage(stage).failed += 1;
        let subject = G::subject(&key);
        self.changes.reports.insert(subject.clone());
        self.failures.entry(subject).or_default().insert(key, Failure { stage, message });
    }

    fn heal(&mut self, key: &G::Node) {
        if self.failures.is_empty() {
            return;
        }
        let subject = G::subject(key);
        let Some(failures) = self.failures.get_mut(&subject) else { return };
        if failures.remove(key).is_none() {
            return;
        }
        if failures.is_empty() {
            self.failures.remove(&subject);
        }
        self.changes.reports.insert(subject);
    }

    fn remove_node(&mut self, id: NodeId) {
        let Some(node) = self.nodes[id as usize].take() else { return };
        self.stats.stage(G::stage(&node.key)).nodes -= 1;
        self.ids.remove(&node.key);
        self.free.push(id);
        self.dependencies.release(id, &node.reads);
        self.heal(&node.key);
        self.spread(&node.output, &Output::unseen());
        if node.output.value != G::Value::default() {
            self.mark_readers(&Dependency::Node(node.key));
        }
    }

    /// Applies the difference of a node's two outputs to the graph and to the running delta.
    fn spread(&mut self, old: &Output<G>, new: &Output<G>) {
        self.contribute(&old.entries, &new.entries, &old.demands, &new.demands);
        let find = |puts: &[Put], put: &Put| {
            puts.binary_search_by(|other| other.key.cmp(&put.key)).ok().map(|place| puts[place].version)
        };
        for put in &old.puts {
            if find(&new.puts, put).is_none() {
                self.changes.xds.insert(put.key.clone(), None);
            }
        }
        for put in &new.puts {
            if find(&old.puts, put) != Some(put.version) {
                self.changes.xds.insert(put.key.clone(), Some(put.clone()));
            }
        }
        if old.report != new.report {
            let reports = [&old.report, &new.report].into_iter().flatten();
            self.changes.reports.extend(reports.map(|report| report.key.clone()));
        }
    }
}
