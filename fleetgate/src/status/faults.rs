//! All that is wrong, each logged once: when it comes and when it is mended.
//!
//! To say where a fault is, its file is read: on a thread of its own, so that no edit waits for it, and once for
//! all faults that came meanwhile. Of one object, and at one time, only so many are told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};

use ingest::SourceFault;
use proto::{Fault, ResourceKey};
use serde_json::{Value, json};

use super::fault_lines::{self, Line};

/// An object and a field of it.
pub(crate) type Field = (ResourceKey, String);

/// Finds the files and lines of fields.
pub(crate) type Locate = dyn Fn(&[Field]) -> Vec<Option<(PathBuf, usize)>> + Send + Sync;

/// Faults of one object that are told; the others are counted.
const MOST: usize = 20;
/// Faults whose places are looked for when somebody asks for all.
const MOST_PLACES: usize = 1000;
/// Characters of a problem.
const LONGEST: usize = 2048;

/// Faults by where they come from. Lines are written once the source has been read, because only then
/// faults have places and old ones have had a chance to be gone.
#[derive(Default)]
pub(super) struct FaultLog {
    objects: BTreeMap<ResourceKey, Told>,
    internal: BTreeMap<ResourceKey, Fault>,
    source: BTreeSet<SourceFault>,
    lines: Option<mpsc::Sender<Vec<Line>>>,
    locate: Option<Arc<Locate>>,
}

/// Faults of an object.
#[derive(Default, PartialEq, Eq)]
struct Told {
    faults: Vec<Fault>,
    /// How many there are beside these.
    more: usize,
}

impl Told {
    fn of(faults: &[Fault]) -> Told {
        let mut told = faults[..faults.len().min(MOST)].to_vec();
        told.iter_mut().for_each(shorten);
        Told { faults: told, more: faults.len().saturating_sub(MOST) }
    }
}

fn shorten(fault: &mut Fault) {
    if let Some((end, _)) = fault.problem.char_indices().nth(LONGEST) {
        fault.problem.truncate(end);
        fault.problem.push('…');
    }
}

fn and_more(object: &ResourceKey, more: usize) -> Option<Fault> {
    (more > 0).then(|| Fault {
        object: object.clone(),
        field: String::new(),
        problem: format!("and {more} more faults"),
        remedy: "correct the others, and they are told".to_owned(),
    })
}

/// What is wrong at some moment, for `/status`; its places are found without anybody waiting.
pub(super) struct Faults {
    source: Vec<Value>,
    objects: Vec<Fault>,
    locate: Option<Arc<Locate>>,
}

impl FaultLog {
    /// Starts to write lines, first all that is known.
    pub(super) fn open(&mut self, locate: Box<Locate>) {
        if self.locate.is_some() {
            return;
        }
        let locate: Arc<Locate> = Arc::from(locate);
        match fault_lines::start(Arc::clone(&locate)) {
            Ok(lines) => self.lines = Some(lines),
            Err(error) => tracing::error!("faults are not logged, only shown in /status: no thread: {error}"),
        }
        self.locate = Some(locate);
        let told = self.objects.iter().flat_map(|(key, told)| lines_of(key, &[], told, 0));
        let lines = told.chain(self.internal.values().map(Line::fault)).collect();
        self.write(lines);
        self.source.iter().for_each(|fault| tracing::warn!("{fault}"));
    }

    /// Replaces the faults of an object's status.
    pub(super) fn translated(&mut self, key: &ResourceKey, faults: &[Fault]) {
        let mut lines = Vec::new();
        // Whatever the translator failed on has been translated again.
        lines.extend(self.internal.remove(key).map(|fault| Line::mended(&fault)));
        let told = Told::of(faults);
        let nothing = Told::default();
        let before = self.objects.get(key).unwrap_or(&nothing);
        if *before != told {
            let gone = before.faults.iter().filter(|fault| !told.faults.contains(fault));
            lines.extend(gone.map(Line::mended));
            lines.extend(lines_of(key, &before.faults, &told, before.more));
            if told.faults.is_empty() {
                self.objects.remove(key);
            } else {
                self.objects.insert(key.clone(), told);
            }
        }
        self.write(lines);
    }

    /// Adds a fault of our own.
    pub(super) fn internal(&mut self, key: &ResourceKey, fault: Fault) {
        self.write(vec![Line::fault(&fault)]);
        self.internal.insert(key.clone(), fault);
    }

    /// Replaces the faults of the source.
    pub(super) fn source(&mut self, faults: Vec<SourceFault>) {
        let faults: BTreeSet<SourceFault> = faults.into_iter().collect();
        if self.locate.is_some() {
            let come = faults.difference(&self.source).map(|fault| Line::placed(fault, false));
            let gone = self.source.difference(&faults).map(|fault| Line::placed(fault, true));
            self.write(come.chain(gone).collect());
        }
        self.source = faults;
    }

    /// Number of faults that are not the source's.
    pub(super) fn count(&self) -> usize {
        self.objects.values().map(|told| told.faults.len() + told.more).sum::<usize>() + self.internal.len()
    }

    /// All that is wrong now.
    pub(super) fn all(&self) -> Faults {
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
        let told = |(key, told): (&ResourceKey, &Told)| {
            told.faults.iter().cloned().chain(and_more(key, told.more)).collect::<Vec<_>>()
        };
        let objects = self.objects.iter().flat_map(told).chain(self.internal.values().cloned());
        Faults { source: source.collect(), objects: objects.collect(), locate: self.locate.clone() }
    }

    fn write(&self, lines: Vec<Line>) {
        if let Some(writer) = self.lines.as_ref().filter(|_| !lines.is_empty()) {
            // An error means that the thread has panicked; /status still tells all.
            let _ = writer.send(lines);
        }
    }
}

/// The lines for what an object has now and had not before.
fn lines_of(key: &ResourceKey, before: &[Fault], now: &Told, more: usize) -> Vec<Line> {
    let come = now.faults.iter().filter(|fault| !before.contains(fault)).map(Line::fault);
    let rest = and_more(key, now.more).filter(|_| now.more > more);
    come.chain(rest.as_ref().map(Line::fault)).collect()
}

impl Faults {
    /// For `/status`. Reads files.
    pub(super) fn to_json(&self) -> Vec<Value> {
        let sought = &self.objects[..self.objects.len().min(MOST_PLACES)];
        let fields: Vec<Field> =
            sought.iter().map(|fault| (fault.object.clone(), fault.field.clone())).collect();
        let mut places = self.locate.as_ref().map(|locate| locate(&fields)).unwrap_or_default();
        places.resize(self.objects.len(), None);
        let objects = self.objects.iter().zip(places).map(|(fault, place)| {
            json!({
                "file": place.as_ref().map(|(file, _)| file.to_string_lossy()),
                "line": place.as_ref().map(|(_, line)| line),
                "object": fault.object.to_string(),
                "field": fault.field,
                "problem": fault.problem,
                "remedy": fault.remedy,
            })
        });
        self.source.iter().cloned().chain(objects).collect()
    }
}
