//! What is remembered of one file, and how a new text of it is compared with that.

use std::sync::Arc;

use proto::{ClusterId, ContentHash, ResourceKey};
use rustc_hash::{FxHashMap, FxHashSet};

use super::read::Stamp;
use crate::Limits;
use crate::fault::DocumentFault;
use crate::object::{Fresh, parse};
use crate::yaml::{Chunk, split};

/// Identifies a document of a file for as long as its text stays the same.
pub(super) type DocumentId = u32;

/// The document of an object that is in effect although its text is broken or gone.
pub(super) const KEPT: DocumentId = DocumentId::MAX;

/// One document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) id: DocumentId,
    pub(super) hash: ContentHash,
    pub(super) first_line: usize,
    pub(super) content_line: usize,
    pub(super) objects: Box<[ResourceKey]>,
    pub(super) faults: Box<[DocumentFault]>,
    pub(super) broken: bool,
}

/// One file.
#[derive(Debug, Default)]
pub(super) struct SourceFile {
    pub(super) stamp: Option<Stamp>,
    pub(super) documents: Vec<Document>,
    /// Objects of earlier texts, kept because the file is broken.
    pub(super) kept: Vec<ResourceKey>,
    /// Why the file as a whole is not taken; its documents are then those of its last good text.
    pub(super) unusable: Option<(String, String)>,
    /// True while somebody writes it.
    pub(super) busy: bool,
    /// True if it has vanished and may yet come back.
    pub(super) leaving: bool,
    next_id: DocumentId,
}

/// What a new text of a file brings.
pub(super) struct Compared {
    /// Documents that were read anew, with their objects.
    pub(super) fresh: Vec<(DocumentId, Fresh)>,
    /// Documents that are gone, with their objects.
    pub(super) gone: Vec<(DocumentId, Box<[ResourceKey]>)>,
}

impl SourceFile {
    /// True if it may hold objects that cannot be seen.
    pub(super) fn hides(&self) -> bool {
        self.unusable.is_some() || self.busy || self.documents.iter().any(|document| document.broken)
    }

    /// Every object of it that is in effect or contends for it.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ResourceKey> {
        self.documents.iter().flat_map(|document| document.objects.iter()).chain(&self.kept)
    }

    /// Takes a new text; only documents whose text is new are read.
    pub(super) fn take(
        &mut self,
        text: &str,
        json: bool,
        cluster: &ClusterId,
        limits: &Limits,
    ) -> Result<Compared, (String, String)> {
        let chunks = if json { whole(text) } else { split(text) };
        if chunks.len() > limits.documents_per_file {
            let problem =
                format!("the file has {} documents, more than {}", chunks.len(), limits.documents_per_file);
            return Err((problem, "split it into several files".to_owned()));
        }
        let mut old = Old::new(std::mem::take(&mut self.documents));
        let hashes: Vec<ContentHash> =
            chunks.iter().map(|chunk| ContentHash::of(chunk.text.as_bytes())).collect();
        let mut reused: Vec<Option<Document>> =
            hashes.iter().enumerate().map(|(n, hash)| old.at(n, *hash)).collect();
        let mut fresh = Vec::new();
        let missing: Vec<usize> = (0..reused.len()).filter(|n| reused[*n].is_none()).collect();
        for n in missing {
            reused[n] = old.moved(hashes[n]);
        }
        for ((chunk, hash), reused) in chunks.iter().zip(hashes).zip(reused) {
            let document = match reused {
                Some(document) => {
                    Document { first_line: chunk.first_line, content_line: chunk.content_line, ..document }
                }
                None => self.read(chunk, hash, json, cluster, limits, &mut fresh),
            };
            self.documents.push(document);
        }
        Ok(Compared { fresh, gone: old.rest() })
    }

    fn read(
        &mut self,
        chunk: &Chunk<'_>,
        hash: ContentHash,
        json: bool,
        cluster: &ClusterId,
        limits: &Limits,
        fresh: &mut Vec<(DocumentId, Fresh)>,
    ) -> Document {
        let parsed = parse(chunk.text, json, cluster, limits);
        let id = self.next_id;
        self.next_id = if id + 1 == KEPT { 0 } else { id + 1 };
        let objects = parsed.objects.iter().map(|object| object.state.key.clone()).collect();
        fresh.extend(parsed.objects.into_iter().map(|object| (id, object)));
        Document {
            id,
            hash,
            first_line: chunk.first_line,
            content_line: chunk.content_line,
            objects,
            faults: parsed.faults.into_boxed_slice(),
            broken: parsed.broken,
        }
    }

    /// Forgets what was read, so that the next text is read as a whole.
    pub(super) fn forget_texts(&mut self) {
        for document in &mut self.documents {
            document.hash = ContentHash::default();
        }
    }

    /// Place of a document in the file; kept objects come last.
    pub(super) fn position(&self, id: DocumentId) -> usize {
        self.documents.iter().position(|document| document.id == id).unwrap_or(usize::MAX)
    }

    /// Keys of the documents that can be read.
    pub(super) fn readable(&self) -> FxHashSet<ResourceKey> {
        self.documents.iter().flat_map(|document| document.objects.iter().cloned()).collect()
    }
}

fn whole(text: &str) -> Vec<Chunk<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Vec::new();
    }
    let blank = &text[..text.len() - text.trim_start().len()];
    let content_line = 1 + blank.matches('\n').count();
    vec![Chunk { text, first_line: 1, content_line }]
}

/// Documents of the text before; what is not taken out is gone.
struct Old {
    documents: Vec<Option<Document>>,
    /// Made when the first document is not at its old place.
    by_hash: Option<FxHashMap<ContentHash, Vec<usize>>>,
}

impl Old {
    fn new(documents: Vec<Document>) -> Old {
        Old { documents: documents.into_iter().map(Some).collect(), by_hash: None }
    }

    fn at(&mut self, n: usize, hash: ContentHash) -> Option<Document> {
        let slot = self.documents.get_mut(n)?;
        if slot.as_ref()?.hash == hash { slot.take() } else { None }
    }

    fn moved(&mut self, hash: ContentHash) -> Option<Document> {
        let documents = &self.documents;
        let by_hash = self.by_hash.get_or_insert_with(|| {
            let mut by_hash: FxHashMap<ContentHash, Vec<usize>> = FxHashMap::default();
            for (n, document) in documents.iter().enumerate().rev() {
                if let Some(document) = document {
                    by_hash.entry(document.hash).or_default().push(n);
                }
            }
            by_hash
        });
        let n = by_hash.get_mut(&hash)?.pop()?;
        self.documents[n].take()
    }

    fn rest(self) -> Vec<(DocumentId, Box<[ResourceKey]>)> {
        self.documents.into_iter().flatten().map(|document| (document.id, document.objects)).collect()
    }
}

/// A path relative to the directory of the source.
pub(super) type RelativePath = Arc<std::path::Path>;
