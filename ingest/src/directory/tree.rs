//! What is known of all files, and which object of which file is in effect.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use proto::{ContentHash, ResourceKey};
use rustc_hash::{FxHashMap, FxHashSet};
use zeroize::Zeroizing;

use super::Options;
use super::file::{Compared, DocumentId, KEPT, RelativePath, SourceFile};
use super::names::is_json;
use super::places::Sought;
use super::read::{Read, Stamp, read};
use super::scan::is_gone;
use crate::object::{Fresh, ObjectState};
use crate::{KeyStore, Limits, Place, SourceFault};

/// The state of the source.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) options: Options,
    pub(super) keys: Arc<KeyStore>,
    pub(super) files: BTreeMap<RelativePath, SourceFile>,
    /// Who wants to be an object; the winner is in effect.
    pub(super) claims: FxHashMap<ResourceKey, Vec<Claim>>,
    /// What the log has.
    pub(super) emitted: FxHashMap<ResourceKey, Emitted>,
    /// What the log has from before the start and no file has shown yet.
    pub(super) held: BTreeSet<ResourceKey>,
    /// States of Secrets that the log has and whose private keys nobody has read since the start.
    pub(super) keyless: BTreeMap<ResourceKey, Bytes>,
    /// Objects that several documents want to be.
    pub(super) contested: BTreeSet<ResourceKey>,
    /// Files with something wrong in them.
    faulty: BTreeSet<RelativePath>,
    /// Files that may hold objects that cannot be seen.
    pub(super) hiding: BTreeSet<RelativePath>,
    /// Files that the system refused to read, to be tried again.
    pub(super) failed: BTreeSet<RelativePath>,
    /// Directories that cannot be listed, and why: they may hold objects that cannot be seen.
    pub(super) unread: BTreeMap<PathBuf, String>,
    /// Directories that cannot be watched, and why.
    pub(super) unwatched: BTreeMap<PathBuf, String>,
    /// True while the directory is not there.
    pub(super) vanished: bool,
    /// True while files stay in effect that are gone with their directory.
    pub(super) bereft: bool,
    /// While the directory has been empty since the start: until when what the log has stays in effect.
    pub(super) empty_until: Option<Instant>,
    pub(super) reported: Vec<SourceFault>,
}

/// A document's wish to be an object.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) file: RelativePath,
    pub(super) document: DocumentId,
    pub(super) item: Option<u32>,
    pub(super) hash: ContentHash,
    pub(super) spec: ContentHash,
    pub(super) generation: Option<i64>,
}

/// What was last sent of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Emitted {
    pub(super) hash: Option<ContentHash>,
    pub(super) spec: Option<ContentHash>,
    pub(super) generation: i64,
}

/// An object that was read in this pass; only these have their content at hand.
pub(super) struct Content {
    pub(super) file: RelativePath,
    pub(super) document: DocumentId,
    pub(super) item: Option<u32>,
    pub(super) payload: Bytes,
    pub(super) private_key: Option<(ContentHash, Zeroizing<Vec<u8>>)>,
}

/// What one round of reading touched.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) dirty: FxHashSet<ResourceKey>,
    pub(super) contents: FxHashMap<ResourceKey, Vec<Content>>,
}

/// How much of a file is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    /// What has changed; a file found empty may just have been opened by a writer.
    Changes,
    /// What has changed, also if it is empty.
    AsItIs,
    /// Everything, to have the content of all objects at hand.
    Contents,
}

/// What came of reading a file again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    /// It is taken, or its fault is noted.
    Done,
    /// A file that was there is not there now: it is leaving.
    Gone,
    /// Somebody writes it: try again.
    Busy,
    /// The system refused to read it: try again, later.
    Failed,
}

impl Tree {
    pub(super) fn new(mut options: Options, keys: Arc<KeyStore>) -> Tree {
        let mut known = std::mem::take(&mut options.known);
        let held = known.iter().map(|known| known.key.clone()).collect();
        let keyless =
            known.iter_mut().filter_map(|known| Some((known.key.clone(), known.without_key.take()?)));
        let keyless = keyless.collect();
        let emitted = known.into_iter().map(|known| {
            let hash = u128::from_str_radix(&known.resource_version, 16).ok().map(ContentHash);
            (known.key, Emitted { hash, spec: known.spec_hash, generation: known.generation })
        });
        Tree {
            root: std::path::absolute(&options.path).unwrap_or_else(|_| options.path.clone()),
            emitted: emitted.collect(),
            options,
            keys,
            files: BTreeMap::new(),
            claims: FxHashMap::default(),
            held,
            keyless,
            contested: BTreeSet::new(),
            faulty: BTreeSet::new(),
            hiding: BTreeSet::new(),
            failed: BTreeSet::new(),
            unread: BTreeMap::new(),
            unwatched: BTreeMap::new(),
            vanished: false,
            bereft: false,
            empty_until: None,
            reported: Vec::new(),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.options.limits
    }

    /// The path that a file is known by.
    pub(super) fn relative(&self, path: &Path) -> Option<RelativePath> {
        let relative = path.strip_prefix(&self.root).ok()?;
        Some(self.files.get_key_value(relative).map_or_else(|| Arc::from(relative), |(path, _)| path.clone()))
    }

    /// The known files at or below a path.
    pub(super) fn below(&self, path: &Path) -> Vec<RelativePath> {
        let all = path.as_os_str().is_empty();
        let range = self.files.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
        range.map(|(file, _)| file.clone()).take_while(|file| all || file.starts_with(path)).collect()
    }

    /// True if the file at a path is not the one that was read.
    pub(super) fn is_stale(&self, path: &Path) -> bool {
        let known = path.strip_prefix(&self.root).ok().and_then(|relative| self.files.get(relative));
        let stamp = std::fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata));
        known.is_none_or(|file| file.leaving || file.busy || file.unusable.is_some() || file.stamp != stamp)
    }

    /// Reads a file and takes what is new in it.
    pub(super) fn load(&mut self, path: &RelativePath, taking: Taking, pass: &mut Pass) -> Loaded {
        let was_known = self.files.contains_key(path);
        let mut file = self.files.remove(path).unwrap_or_default();
        self.failed.remove(path);
        let outcome = match read(&self.root.join(path), self.limits()) {
            Read::Gone => {
                pass.dirty.extend(file.keys().cloned());
                file.leaving = true;
                Loaded::Gone
            }
            Read::Text(text, _)
                if text.is_empty() && taking == Taking::Changes && file.keys().next().is_some() =>
            {
                wait_for(&mut file, pass)
            }
            Read::Busy => wait_for(&mut file, pass),
            Read::Unusable(problem, remedy) => {
                returned(&mut file, pass);
                file.unusable = Some((problem, remedy));
                Loaded::Done
            }
            Read::Failed(problem, remedy) => {
                returned(&mut file, pass);
                file.unusable = Some((problem, remedy));
                self.failed.insert(path.clone());
                Loaded::Failed
            }
            Read::Text(text, stamp) => {
                returned(&mut file, pass);
                file.stamp = Some(stamp);
                if taking == Taking::Contents {
                    file.forget_texts();
                }
                match file.take(&text, is_json(path), &self.options.cluster, &self.options.limits) {
                    Ok(compared) => {
                        file.unusable = None;
                        self.compare(path, &mut file, compared, pass);
                    }
                    Err(unusable) => file.unusable = Some(unusable),
                }
                Loaded::Done
            }
        };
        if outcome == Loaded::Gone && !was_known {
            return Loaded::Done;
        }
        self.note(path, &file);
        self.files.insert(path.clone(), file);
        outcome
    }

    /// Notes that a file is not there. False if it is unknown, or if something stands in its place, of
    /// which a notification of its own will tell.
    pub(super) fn leave(&mut self, path: &RelativePath, pass: &mut Pass) -> bool {
        match std::fs::symlink_metadata(self.root.join(path)) {
            Err(error) if is_gone(&error) => {}
            Ok(_) => return false,
            Err(_) => {
                self.failed.insert(path.clone());
                return false;
            }
        }
        let Some(file) = self.files.get_mut(path) else { return false };
        pass.dirty.extend(file.keys().cloned());
        file.leaving = true;
        true
    }

    fn compare(&mut self, path: &RelativePath, file: &mut SourceFile, compared: Compared, pass: &mut Pass) {
        let kept = std::mem::take(&mut file.kept).into_iter().map(|key| (KEPT, key));
        let gone =
            compared.gone.into_iter().flat_map(|(id, keys)| keys.into_iter().map(move |key| (id, key)));
        let orphans: Vec<(DocumentId, ResourceKey)> = gone.chain(kept).collect();
        for (id, Fresh { state, payload, private_key }) in compared.fresh {
            let ObjectState { key, hash, spec, generation, item } = state;
            let claim = Claim { file: path.clone(), document: id, item, hash, spec, generation };
            self.claims.entry(key.clone()).or_insert_with(|| Vec::with_capacity(1)).push(claim);
            pass.dirty.insert(key.clone());
            let content = Content { file: path.clone(), document: id, item, payload, private_key };
            pass.contents.entry(key).or_default().push(content);
        }
        if orphans.is_empty() {
            return;
        }
        let mut readable = if file.hides() { Some(file.readable()) } else { None };
        for (id, key) in orphans {
            pass.dirty.insert(key.clone());
            // A key that is kept once need not be kept again.
            let keep = readable.as_mut().is_some_and(|readable| readable.insert(key.clone()));
            self.release(&key, path, id, keep);
            if keep {
                file.kept.push(key);
            }
        }
    }

    /// Drops a claim, or keeps it as that of a text that was.
    fn release(&mut self, key: &ResourceKey, path: &Path, id: DocumentId, keep: bool) {
        let Some(claims) = self.claims.get_mut(key) else { return };
        let Some(n) = claims.iter().position(|claim| claim.document == id && *claim.file == *path) else {
            return;
        };
        if keep {
            claims[n].document = KEPT;
        } else {
            claims.swap_remove(n);
            if claims.is_empty() {
                self.claims.remove(key);
            }
        }
    }

    /// Takes back a departure, or completes it. True if the file is forgotten.
    pub(super) fn depart(&mut self, path: &RelativePath, pass: &mut Pass) -> bool {
        let Some(file) = self.files.get_mut(path) else { return false };
        if !file.leaving {
            return false;
        }
        pass.dirty.extend(file.keys().cloned());
        // A file that exists is being written; a directory that has vanished takes no file with it.
        let gone = self.root.join(path).metadata().is_err_and(|error| is_gone(&error));
        if !self.root.is_dir() || !gone {
            file.leaving = false;
            self.failed.insert(path.clone());
            return false;
        }
        let Some(file) = self.files.remove(path) else { return false };
        for document in &file.documents {
            for key in &document.objects {
                self.release(key, path, document.id, false);
            }
        }
        for key in &file.kept {
            self.release(key, path, KEPT, false);
        }
        self.faulty.remove(path);
        self.hiding.remove(path);
        self.failed.remove(path);
        true
    }

    fn note(&mut self, path: &RelativePath, file: &SourceFile) {
        let faulty =
            file.unusable.is_some() || file.documents.iter().any(|document| !document.faults.is_empty());
        set(&mut self.faulty, path, faulty);
        set(&mut self.hiding, path, file.hides());
    }

    /// The claim that is in effect: the first in path order, then document order. What has left its file
    /// stands back behind what is still in one.
    pub(super) fn winner(&self, key: &ResourceKey) -> Option<&Claim> {
        let claims = self.claims.get(key)?;
        if claims.len() == 1 {
            return claims.first();
        }
        claims.iter().min_by_key(|claim| self.rank(claim))
    }

    fn rank<'c>(&self, claim: &'c Claim) -> (bool, &'c Path, usize, Option<u32>) {
        let position = self.files.get(&claim.file).map_or(usize::MAX, |file| file.position(claim.document));
        (!self.is_present(claim), &*claim.file, position, claim.item)
    }

    pub(super) fn is_present(&self, claim: &Claim) -> bool {
        claim.document != KEPT && self.files.get(&claim.file).is_some_and(|file| !file.leaving)
    }

    /// All that is wrong now, in order of files.
    pub(super) fn faults(&self) -> Vec<SourceFault> {
        let mut faults = Vec::new();
        for (path, file) in self.faulty.iter().filter_map(|path| self.files.get_key_value(path)) {
            if let Some((problem, remedy)) = &file.unusable {
                faults.push(whole_file(path, problem, remedy));
            }
            for document in &file.documents {
                faults.extend(
                    document.faults.iter().map(|f| f.placed(path.to_path_buf(), document.first_line)),
                );
            }
        }
        for key in &self.contested {
            faults.extend(self.contest(key));
        }
        faults.sort_unstable();
        faults.splice(0..0, self.of_directories());
        faults
    }

    fn of_directories(&self) -> Vec<SourceFault> {
        let mut faults = Vec::new();
        let (own, grace) = (&self.options.path, self.limits().directory_grace);
        if self.vanished {
            let problem = "the directory has vanished; its last state stays in effect";
            faults.push(whole_file(own, problem, "create it again, files and all"));
        } else if self.bereft {
            let problem = format!(
                "files are gone with their directory (it is empty, or another one); what was in them stays in \
                 effect for {grace:?}"
            );
            faults.push(whole_file(own, &problem, "put them back, or wait until they count as deleted"));
        } else if self.empty_until.is_some() {
            let problem = format!(
                "the directory was empty at the start, and objects are known from before; those that are not \
                 in it stay in effect for {grace:?}"
            );
            faults.push(whole_file(own, &problem, "put the files back, or wait until they count as deleted"));
        }
        for (directory, error) in &self.unread {
            let problem = format!("the directory cannot be read ({error}); its last state stays in effect");
            let remedy = "let the user that runs fleetgate read it; it is tried again";
            faults.push(whole_file(self.shown(directory), &problem, remedy));
        }
        for (directory, error) in &self.unwatched {
            let problem = format!(
                "the directory cannot be watched ({error}); it is looked at every {:?}",
                self.limits().poll
            );
            let remedy = "raise fs.inotify.max_user_watches and max_user_instances";
            faults.push(whole_file(self.shown(directory), &problem, remedy));
        }
        faults
    }

    fn shown<'p>(&'p self, directory: &'p Path) -> &'p Path {
        match directory.strip_prefix(&self.root) {
            Ok(relative) if !relative.as_os_str().is_empty() => relative,
            _ => &self.options.path,
        }
    }

    fn contest(&self, key: &ResourceKey) -> Vec<SourceFault> {
        let mut claims: Vec<&Claim> =
            self.claims.get(key).into_iter().flatten().filter(|claim| self.is_present(claim)).collect();
        claims.sort_by_key(|claim| self.rank(claim));
        let Some((winner, losers)) = claims.split_first() else { return Vec::new() };
        let place = format!("{}:{}", winner.file.display(), self.line(winner));
        let fault = |claim: &&Claim| SourceFault {
            place: Place::File { path: claim.file.to_path_buf(), line: Some(self.line(claim)) },
            object: Some(key.clone()),
            field: "metadata.name".to_owned(),
            problem: format!("the object is also in {place}, which is the one in effect"),
            remedy: "remove or rename one of the two".to_owned(),
        };
        losers.iter().map(fault).collect()
    }

    fn line(&self, claim: &Claim) -> usize {
        let file = self.files.get(&claim.file);
        let document = file.and_then(|file| file.documents.iter().find(|d| d.id == claim.document));
        document.map_or(1, |document| document.content_line)
    }

    /// Where an object is, if it is in a file.
    pub(super) fn sought(&self, key: &ResourceKey) -> Option<Sought> {
        let winner = self.winner(key)?;
        let file = self.files.get(&winner.file)?;
        let position = file.documents.iter().position(|document| document.id == winner.document);
        Some(Sought {
            file: winner.file.clone(),
            document: position.map(|position| (position, file.documents[position].hash)),
            item: winner.item.map(|n| n as usize),
        })
    }
}

/// A file that was leaving is there again.
fn returned(file: &mut SourceFile, pass: &mut Pass) {
    if file.leaving {
        pass.dirty.extend(file.keys().cloned());
    }
    file.leaving = false;
    file.busy = false;
}

fn wait_for(file: &mut SourceFile, pass: &mut Pass) -> Loaded {
    returned(file, pass);
    file.busy = true;
    Loaded::Busy
}

fn set(files: &mut BTreeSet<RelativePath>, path: &RelativePath, on: bool) {
    if !on {
        files.remove(path);
    } else if !files.contains(path) {
        files.insert(path.clone());
    }
}

fn whole_file(path: &Path, problem: &str, remedy: &str) -> SourceFault {
    SourceFault {
        place: Place::File { path: path.to_path_buf(), line: None },
        object: None,
        field: String::new(),
        problem: problem.to_owned(),
        remedy: remedy.to_owned(),
    }
}
