//! From events to dirty nodes, level by level.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proto::{Change, Epoch, Event, Put, Report, ResourceKey};

use super::contribution::differences;
use super::dependency::Dependency;
use super::{Cx, Engine, IndexEntry, Node, NodeId, Output};
use crate::graph::{self, LEVELS, NodeKey, Value};

impl Engine {
    /// Takes one event into the objects and marks what it touches.
    pub(super) fn take(&mut self, event: &Event) {
        match &event.change {
            Change::Upsert(json) => self.change_object(&event.key, |objects| objects.upsert(event, json)),
            Change::Delete => self.change_object(&event.key, |objects| objects.remove(&event.key)),
            Change::Synced { sweep_before } if *sweep_before > Epoch(0) => {
                for key in self.objects.swept(event, *sweep_before) {
                    self.change_object(&key, |objects| objects.remove(&key));
                }
            }
            Change::Synced { .. } | Change::Unknown => {}
        }
    }

    fn change_object(
        &mut self,
        key: &ResourceKey,
        change: impl FnOnce(&mut super::objects::Objects) -> bool,
    ) {
        let (mut old_entries, mut old_roots) = self.objects.contribution(key);
        let old_report = self.objects.report(key);
        if !change(&mut self.objects) {
            return;
        }
        let (mut entries, mut roots) = self.objects.contribution(key);
        for list in [&mut old_entries, &mut entries] {
            list.sort();
        }
        for list in [&mut old_roots, &mut roots] {
            list.sort();
        }
        let report = self.objects.report(key);
        if report.is_some() || old_report.is_some() {
            let gone = Report { key: key.clone(), status: None };
            self.changes.reports.insert(key.clone(), report.unwrap_or(gone));
        }
        self.contribute(&old_entries, &entries, &old_roots, &roots);
        self.mark_readers(&Dependency::Object(key.clone()));
    }

    /// Applies the difference of two contributions to indexes and demand.
    fn contribute(
        &mut self,
        old_entries: &[IndexEntry],
        entries: &[IndexEntry],
        old_demands: &[NodeKey],
        demands: &[NodeKey],
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

    fn demand(&mut self, key: NodeKey) {
        if let Some(id) = self.ids.get(&key).copied() {
            if let Some(node) = self.nodes[id as usize].as_mut() {
                node.demand += 1;
            }
            return;
        }
        let node = Node {
            key: key.clone(),
            output: Output::of(Value::Absent),
            reads: Vec::new(),
            demand: 1,
            dirty: false,
        };
        let id = if let Some(id) = self.free.pop() {
            self.nodes[id as usize] = Some(node);
            id
        } else {
            self.nodes.push(Some(node));
            NodeId::try_from(self.nodes.len() - 1).expect("invariant: fewer than 2^32 nodes")
        };
        self.stats.stage(&key).nodes += 1;
        self.ids.insert(key, id);
        self.mark(id);
    }

    fn undemand(&mut self, key: &NodeKey) {
        let Some(id) = self.ids.get(key).copied() else { return };
        if let Some(node) = self.nodes[id as usize].as_mut() {
            node.demand -= 1;
            if node.demand == 0 {
                self.mark(id);
            }
        }
    }

    fn mark_readers(&mut self, dependency: &Dependency) {
        for id in self.dependencies.readers(dependency).to_vec() {
            self.mark(id);
        }
    }

    fn mark(&mut self, id: NodeId) {
        let Some(node) = self.nodes[id as usize].as_mut() else { return };
        if !node.dirty {
            node.dirty = true;
            let level = node.key.level();
            self.stats.stage(&node.key).dirty += 1;
            self.dirty[level].push(id);
        }
    }

    /// Runs the dirty nodes. A node marks only nodes of higher levels, so one pass is enough.
    pub(super) fn run_levels(&mut self) {
        for level in 0..LEVELS {
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
        let (output, reads) = match catch_unwind(AssertUnwindSafe(|| self.compute(&key))) {
            Ok(computed) => computed,
            Err(_) => {
                // A bug: the node keeps its last good output.
                self.stats.panics += 1;
                return;
            }
        };
        let Some(node) = self.nodes[id as usize].as_mut() else { return };
        let old_reads = std::mem::take(&mut node.reads);
        let reads = self.dependencies.replace(id, &old_reads, reads);
        node.reads = reads;
        let old = std::mem::replace(&mut node.output, output.clone());
        let stage = self.stats.stage(&key);
        stage.recomputed += 1;
        if old == output {
            return;
        }
        if old.value != output.value {
            stage.changed += 1;
            self.mark_readers(&Dependency::Node(key));
        }
        self.settle(&old, &output);
    }

    /// Computes a node from what is there now, with what it read.
    pub(super) fn compute(&self, key: &NodeKey) -> (Output, Vec<Dependency>) {
        let mut cx = Cx::new(self, key.level());
        let output = graph::compute(key, &mut cx).normalise();
        (output, cx.reads)
    }

    fn remove_node(&mut self, id: NodeId) {
        let Some(node) = self.nodes[id as usize].take() else { return };
        self.stats.stage(&node.key).nodes -= 1;
        self.ids.remove(&node.key);
        self.free.push(id);
        self.dependencies.release(id, &node.reads);
        self.settle(&node.output, &Output::of(Value::Absent));
        if node.output.value != Value::Absent {
            self.mark_readers(&Dependency::Node(node.key));
        }
    }

    /// Applies the difference of a node's two outputs to the graph and to the running delta.
    fn settle(&mut self, old: &Output, new: &Output) {
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
            if let Some(gone) = &old.report {
                // A report on the object itself (it no longer decodes) has the last word.
                let gone = Report { key: gone.key.clone(), status: None };
                self.changes.reports.entry(gone.key.clone()).or_insert(gone);
            }
            if let Some(report) = &new.report {
                self.changes.reports.insert(report.key.clone(), Report::clone(report));
            }
        }
    }
}
