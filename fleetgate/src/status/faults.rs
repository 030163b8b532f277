//! All that is wrong, each logged once: when it comes and when it is mended.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ingest::SourceFault;
use proto::{Fault, ResourceKey};
use serde_json::{Value, json};

/// Finds the file and line of a field of an object.
pub(crate) type Locate = dyn Fn(&ResourceKey, &str) -> Option<(PathBuf, usize)> + Send;

/// Faults by where they come from. Lines are written once the source has been read, because only then
/// faults have places and old ones have had a chance to be gone.
#[derive(Default)]
pub(super) struct FaultLog {
    objects: BTreeMap<ResourceKey, Vec<Fault>>,
    internal: BTreeMap<ResourceKey, Fault>,
    source: BTreeSet<SourceFault>,
    locate: Option<Box<Locate>>,
}

impl FaultLog {
    /// Starts to write lines, first all that is known.
    pub(super) fn open(&mut self, locate: Box<Locate>) {
        if self.locate.is_some() {
            return;
        }
        self.locate = Some(locate);
        for fault in self.objects.values().flatten().chain(self.internal.values()) {
            self.write(fault);
        }
        self.source.iter().for_each(|fault| tracing::warn!("{fault}"));
    }

    /// Replaces the faults of an object's status.
    pub(super) fn translated(&mut self, key: &ResourceKey, faults: &[Fault]) {
        // Whatever the translator failed on has been translated again.
        if let Some(fault) = self.internal.remove(key) {
            self.mended(&fault);
        }
        let before = self.objects.get(key).map_or(&[][..], Vec::as_slice);
        if before == faults {
            return;
        }
        before.iter().filter(|fault| !faults.contains(fault)).for_each(|fault| self.mended(fault));
        faults.iter().filter(|fault| !before.contains(fault)).for_each(|fault| self.write(fault));
        if faults.is_empty() {
            self.objects.remove(key);
        } else {
            self.objects.insert(key.clone(), faults.to_vec());
        }
    }

    /// Adds a fault of our own.
    pub(super) fn internal(&mut self, key: &ResourceKey, fault: Fault) {
        self.write(&fault);
        self.internal.insert(key.clone(), fault);
    }

    /// Replaces the faults of the source.
    pub(super) fn source(&mut self, faults: Vec<SourceFault>) {
        let faults: BTreeSet<SourceFault> = faults.into_iter().collect();
        if self.locate.is_some() {
            faults.difference(&self.source).for_each(|fault| tracing::warn!("{fault}"));
            self.source.difference(&faults).for_each(|fault| tracing::info!("mended: {fault}"));
        }
        self.source = faults;
    }

    /// Number of faults that are not the source's.
    pub(super) fn count(&self) -> usize {
        self.objects.values().map(Vec::len).sum::<usize>() + self.internal.len()
    }

    /// For `/status`.
    pub(super) fn to_json(&self) -> Vec<Value> {
        let source = self.source.iter().map(|fault| {
            json!({
                "file": fault.file().map(|file| file.to_string_lossy()),
                "line": fault.line(),
                "object": fault.object.as_ref().map(ToString::to_string),
                "field": fault.field,
                "problem": fault.problem,
                "remedy": fault.remedy,
            })
        });
        let objects = self.objects.values().flatten().chain(self.internal.values()).map(|fault| {
            let place = self.place(fault);
            json!({
                "file": place.as_ref().map(|(file, _)| file.to_string_lossy()),
                "line": place.as_ref().map(|(_, line)| line),
                "object": fault.object.to_string(),
                "field": fault.field,
                "problem": fault.problem,
                "remedy": fault.remedy,
            })
        });
        source.chain(objects).collect()
    }

    fn place(&self, fault: &Fault) -> Option<(PathBuf, usize)> {
        self.locate.as_ref()?(&fault.object, &fault.field)
    }

    fn write(&self, fault: &Fault) {
        if self.locate.is_none() {
            return;
        }
        match self.place(fault) {
            Some((file, line)) => tracing::warn!("{}:{line}: {fault}", file.display()),
            None => tracing::warn!("{fault}"),
        }
    }

    fn mended(&self, fault: &Fault) {
        if self.locate.is_some() {
            tracing::info!("mended: {fault}");
        }
    }
}
