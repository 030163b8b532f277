//! Where fields are written. However many are asked for at once, a file is read once and a document parsed once.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;

use proto::{ContentHash, ResourceKey};

use super::Location;
use super::file::RelativePath;
use super::names::is_json;
use crate::yaml::{Lines, split};

/// Where an object is.
#[derive(Clone, Debug)]
pub(super) struct Sought {
    pub(super) file: RelativePath,
    /// Position and hash of its document, if that is in the file.
    pub(super) document: Option<(usize, ContentHash)>,
    /// Its place in a list.
    pub(super) item: Option<usize>,
}

/// A document of a file, read when somebody asks.
struct Document<'t> {
    text: &'t str,
    first_line: usize,
    hash: OnceCell<ContentHash>,
    lines: OnceCell<Lines>,
}

/// The places of fields, as their files are now; `read` gives the text of a file.
pub(super) fn locate(
    fields: &[(ResourceKey, String)],
    sought: &[Option<Sought>],
    read: &mut dyn FnMut(&Path) -> Option<String>,
) -> Vec<Option<Location>> {
    let mut by_file: BTreeMap<&Path, Vec<(usize, &Sought)>> = BTreeMap::new();
    for (index, sought) in sought.iter().enumerate() {
        if let Some(sought) = sought {
            by_file.entry(&sought.file).or_default().push((index, sought));
        }
    }
    let mut places = vec![None; fields.len()];
    for (file, wanted) in by_file {
        let Some(text) = read(file) else { continue };
        let documents = Document::all(file, &text);
        for (index, sought) in wanted {
            let (key, field) = &fields[index];
            let line = line(&documents, file, sought, key, field);
            places[index] = line.map(|line| Location { file: file.to_path_buf(), line });
        }
    }
    places
}

fn line(
    documents: &[Document<'_>],
    file: &Path,
    sought: &Sought,
    key: &ResourceKey,
    field: &str,
) -> Option<usize> {
    if is_json(file) {
        return Some(documents.first()?.line(sought.item, field));
    }
    let unchanged = sought
        .document
        .and_then(|(position, hash)| documents.get(position).filter(|document| document.hash() == hash));
    if let Some(document) = unchanged {
        return Some(document.line(sought.item, field));
    }
    let is_it = |document: &&Document<'_>| document.lines().name(sought.item) == Some(key.name.as_str());
    Some(documents.iter().find(is_it)?.line(sought.item, field))
}

impl<'t> Document<'t> {
    fn all(file: &Path, text: &'t str) -> Vec<Document<'t>> {
        let document =
            |text, first_line| Document { text, first_line, hash: OnceCell::new(), lines: OnceCell::new() };
        if is_json(file) {
            return vec![document(text, 1)];
        }
        split(text).into_iter().map(|chunk| document(chunk.text, chunk.first_line)).collect()
    }

    fn hash(&self) -> ContentHash {
        *self.hash.get_or_init(|| ContentHash::of(self.text.as_bytes()))
    }

    fn lines(&self) -> &Lines {
        self.lines.get_or_init(|| Lines::of(self.text))
    }

    fn line(&self, item: Option<usize>, field: &str) -> usize {
        self.first_line + self.lines().line(item, field)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::path::Path;
    use std::sync::Arc;

    use proto::{ContentHash, Kind, ResourceKey};

    use super::{Sought, locate};
    use crate::yaml::{Lines, split};

    fn object(name: &str, rules: usize) -> String {
        let mut text = format!("---\nmetadata:\n  name: {name}\nspec:\n  rules:\n");
        for number in 0..rules {
            writeln!(text, "  - name: r{number}").unwrap();
        }
        text
    }

    fn key(name: &str) -> ResourceKey {
        ResourceKey::local(Kind::HTTP_ROUTE, "default", name)
    }

    fn sought(file: &str, text: &str, position: usize) -> Option<Sought> {
        let hash = ContentHash::of(split(text)[position].text.as_bytes());
        Some(Sought { file: Arc::from(Path::new(file)), document: Some((position, hash)), item: None })
    }

    #[test]
    fn many_faults_of_one_object_read_and_parse_it_once() {
        let text = object("big", 6000);
        let fields: Vec<_> = (0..6000).map(|n| (key("big"), format!("spec.rules[{n}].name"))).collect();
        let all = vec![sought("f.yaml", &text, 0); 6000];
        let (mut reads, parses) = (0, Lines::parsed());
        let places = locate(&fields, &all, &mut |_| {
            reads += 1;
            Some(text.clone())
        });
        assert_eq!((reads, Lines::parsed() - parses), (1, 1));
        assert!(places.iter().enumerate().all(|(n, place)| place.as_ref().unwrap().line == 6 + n));
    }

    #[test]
    fn many_objects_of_one_file_read_it_once_and_each_document_once() {
        let text: String = (0..2000).map(|n| object(&format!("o{n}"), 1)).collect();
        let fields: Vec<_> =
            (0..2000).map(|n| (key(&format!("o{n}")), "spec.rules[0].name".into())).collect();
        let all: Vec<_> = (0..2000).map(|n| sought("f.yaml", &text, n)).collect();
        // Also if another document has been put before all of them.
        for (text, first) in [(text.clone(), 6), (object("new", 1) + &text, 12)] {
            let (mut reads, parses) = (0, Lines::parsed());
            let places = locate(&fields, &all, &mut |_| {
                reads += 1;
                Some(text.clone())
            });
            assert_eq!(reads, 1);
            assert!(Lines::parsed() - parses <= 2001);
            assert!(
                places.iter().enumerate().all(|(n, place)| place.as_ref().unwrap().line == first + 6 * n)
            );
        }
    }

    #[test]
    fn each_file_is_read_once_and_one_that_is_gone_has_no_places() {
        let text = object("a", 1);
        let fields: Vec<_> = (0..300).map(|_| (key("a"), "spec".to_owned())).collect();
        let all: Vec<_> = (0..300).map(|n| sought(&format!("f{}.yaml", n % 3), &text, 0)).collect();
        let mut reads = Vec::new();
        let places = locate(&fields, &all, &mut |file| {
            reads.push(file.to_path_buf());
            (file != Path::new("f1.yaml")).then(|| text.clone())
        });
        assert_eq!(reads, ["f0.yaml", "f1.yaml", "f2.yaml"].map(|name| Path::new(name).to_path_buf()));
        assert_eq!(places.iter().flatten().count(), 200);
    }
}
