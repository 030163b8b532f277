//! The directory source as its user sees it: batches on a channel.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use ingest::directory::{Batch, Handle, Known, Listing, Location, Options, read_once, start};
use ingest::{KeyStore, Limits};
use proto::{Change, Event, Kind, ResourceKey};
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;

struct Source {
    dir: TempDir,
    batches: Receiver<Batch>,
    handle: Handle,
    listing: Batch,
}

fn service(name: &str, port: u16) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - port: {port}\n"
    )
}

fn key(name: &str) -> ResourceKey {
    ResourceKey::local(Kind::SERVICE, "default", name)
}

fn watch(files: &[(&str, &str)]) -> Source {
    watch_with(tempfile::tempdir().unwrap(), files, |_| ())
}

/// For tests that replace files by removing them: no machine is slow enough to take it for a deletion.
fn patient(options: &mut Options) {
    options.limits.removal_grace = std::time::Duration::from_secs(60);
}

fn watch_with(dir: TempDir, files: &[(&str, &str)], change: impl FnOnce(&mut Options)) -> Source {
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut options = Options::new(dir.path());
    change(&mut options);
    let (mut batches, handle) = start(options, Arc::new(KeyStore::new())).unwrap();
    let listing = batches.blocking_recv().unwrap();
    assert!(listing.listed);
    Source { dir, batches, handle, listing }
}

impl Source {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn next(&mut self) -> Vec<String> {
        describe(&self.batch())
    }

    fn batch(&mut self) -> Batch {
        self.batches.blocking_recv().expect("the source ends only with its handle")
    }

    /// All that comes up to and with a marker object that is written now.
    fn until_marker(&mut self) -> Vec<String> {
        self.write("zz-marker.yaml", &service("marker", 1));
        let mut seen = Vec::new();
        loop {
            let batch = describe(&self.batch());
            let done = batch.iter().any(|line| line == "+Service default/marker 1");
            seen.extend(batch.into_iter().filter(|line| !line.contains("marker")));
            if done {
                return seen;
            }
        }
    }
}

fn describe(batch: &Batch) -> Vec<String> {
    let events = batch.events.iter().filter_map(|event| match &event.change {
        Change::Upsert(_) => Some(format!("+{} {}", event.key, event.generation)),
        Change::Delete => Some(format!("-{}", event.key)),
        _ => None,
    });
    events.chain(batch.faults.iter().flatten().map(ToString::to_string)).collect()
}

fn state(events: &[Event], state: &mut BTreeMap<ResourceKey, Vec<u8>>) {
    for event in events {
        match &event.change {
            Change::Upsert(payload) => drop(state.insert(event.key.clone(), payload.to_vec())),
            Change::Delete => drop(state.remove(&event.key)),
            _ => {}
        }
    }
}

#[test]
fn the_listing_is_complete_and_ordered() {
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\n";
    let source = watch(&[
        ("a.yaml", route),
        ("sub/deep/b.yml", &service("b", 1)),
        ("c.json", "{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"n\"}}"),
        ("d.yaml~", &service("no", 1)),
        (".e.yaml.swp", "x"),
        ("4913", "x"),
        ("readme.md", "# x"),
    ]);
    assert_eq!(
        describe(&source.listing),
        ["+Namespace n 1", "+Service default/b 1", "+HTTPRoute default/r 1"]
    );
    let synced = source.listing.events.iter().filter(|event| matches!(event.change, Change::Synced { .. }));
    assert_eq!(synced.count(), 17);
}

#[test]
fn edits_emit_differences_only() {
    let text = service("a", 1) + &service("b", 1);
    let mut source = watch(&[("f.yaml", &text), ("stays.yaml", &service("stays", 1))]);
    source.write("f.yaml", &(service("a", 1) + &service("b", 2)));
    assert_eq!(source.next(), ["+Service default/b 2"]);
    source.write("f.yaml", &(service("c", 1) + "# only a comment\n" + &service("b", 2) + &service("a", 1)));
    assert_eq!(source.next(), ["+Service default/c 1"]);
    source.write("f.yaml", &service("c", 1));
    assert_eq!(source.next(), ["-Service default/b", "-Service default/a"]);
    fs::remove_file(source.dir.path().join("f.yaml")).unwrap();
    assert_eq!(source.next(), ["-Service default/c"]);
    fs::create_dir_all(source.dir.path().join("new/deep")).unwrap();
    source.write("new/deep/g.yaml", &service("g", 1));
    assert_eq!(source.next(), ["+Service default/g 1"]);
    source.write("new/deep/g.yaml", &service("g", 2));
    assert_eq!(source.next(), ["+Service default/g 2"]);
    fs::remove_dir_all(source.dir.path().join("new")).unwrap();
    assert_eq!(source.next(), ["-Service default/g"]);
}

#[test]
fn a_label_changes_no_generation() {
    let mut source = watch(&[("f.yaml", &service("a", 1))]);
    source.write("f.yaml", &service("a", 1).replace("  name: a", "  name: a\n  labels: {x: y}"));
    assert_eq!(source.next(), ["+Service default/a 1"]);
}

#[test]
fn moves_emit_nothing() {
    let mut source = watch_with(
        tempfile::tempdir().unwrap(),
        &[("f.yaml", &service("a", 1)), ("sub/x.yaml", &service("x", 1))],
        patient,
    );
    let dir = source.dir.path().to_owned();
    fs::rename(dir.join("f.yaml"), dir.join("sub/g.yaml")).unwrap();
    fs::rename(dir.join("sub"), dir.join("other")).unwrap();
    assert_eq!(source.until_marker(), [] as [&str; 0]);
    fs::write(dir.join("other/g.yaml"), service("a", 2)).unwrap();
    assert_eq!(source.next(), ["+Service default/a 2"]);
}

#[test]
fn editors_and_atomic_writers_emit_one_change() {
    let mut source = watch_with(tempfile::tempdir().unwrap(), &[("f.yaml", &service("a", 1))], patient);
    let dir = source.dir.path().to_owned();
    // vim with a backup: the file is moved away, written anew, the backup removed.
    fs::rename(dir.join("f.yaml"), dir.join("f.yaml~")).unwrap();
    source.write("f.yaml", &service("a", 2));
    fs::remove_file(dir.join("f.yaml~")).unwrap();
    assert_eq!(source.next(), ["+Service default/a 2"]);
    fs::write(dir.join(".f.yaml.tmp"), service("a", 3)).unwrap();
    fs::rename(dir.join(".f.yaml.tmp"), dir.join("f.yaml")).unwrap();
    assert_eq!(source.next(), ["+Service default/a 3"]);
}

#[test]
fn a_file_that_is_being_written_keeps_its_objects() {
    use std::io::Write;
    let mut source = watch(&[("f.yaml", &service("a", 1))]);
    let mut file = fs::File::create(source.dir.path().join("f.yaml")).unwrap();
    assert_eq!(source.until_marker(), [] as [&str; 0]);
    file.write_all(service("a", 2).as_bytes()).unwrap();
    drop(file);
    assert_eq!(source.next(), ["+Service default/a 2"]);
}

#[test]
fn a_config_map_swap_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let version = |name: &str, port: u16| {
        fs::create_dir(path.join(name)).unwrap();
        fs::write(path.join(name).join("f.yaml"), service("a", port)).unwrap();
    };
    version("..1", 1);
    symlink("..1", path.join("..data")).unwrap();
    symlink("..data/f.yaml", path.join("f.yaml")).unwrap();
    let mut source = watch_with(dir, &[], |_| ());
    assert_eq!(describe(&source.listing), ["+Service default/a 1"]);
    version("..2", 2);
    symlink("..2", path.join("..data_tmp")).unwrap();
    fs::rename(path.join("..data_tmp"), path.join("..data")).unwrap();
    assert_eq!(source.next(), ["+Service default/a 2"]);
}

#[test]
fn loops_of_links_end() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("p")).unwrap();
    fs::create_dir_all(dir.path().join("q")).unwrap();
    symlink("../q", dir.path().join("p/l")).unwrap();
    symlink("../p", dir.path().join("q/m")).unwrap();
    symlink(".", dir.path().join("self")).unwrap();
    let source = watch_with(dir, &[("f.yaml", &service("a", 1))], |_| ());
    assert_eq!(describe(&source.listing), ["+Service default/a 1"]);
}

#[test]
fn a_broken_document_hurts_only_itself_and_keeps_its_last_state() {
    let mut source = watch(&[("f.yaml", &(service("a", 1) + &service("b", 1) + &service("c", 1)))]);
    source.write(
        "f.yaml",
        &(service("a", 1).replace("spec:", "spec: [") + &service("b", 2) + &service("c", 1)),
    );
    let seen = source.next();
    assert_eq!(seen[0], "+Service default/b 2");
    assert!(seen[1].starts_with("f.yaml:8: not YAML: "), "{seen:?}");
    source.write("f.yaml", &(service("a", 1).replace("kind", "kinds") + &service("b", 2)));
    assert_eq!(source.next(), ["f.yaml:2: kind: the document has no kind; write one, e.g. kind: HTTPRoute"]);
    source.write("f.yaml", &(service("a", 2) + &service("b", 2)));
    assert_eq!(source.next(), ["+Service default/a 2", "-Service default/c"]);
}

#[test]
fn of_two_equal_names_the_first_is_in_effect_and_the_other_takes_over() {
    let mut source =
        watch(&[("a.yaml", &service("x", 1)), ("b.yaml", &(service("w", 1) + &service("x", 2)))]);
    assert_eq!(
        describe(&source.listing),
        [
            "+Service default/w 1",
            "+Service default/x 1",
            "b.yaml:10: Service default/x: metadata.name: the object is also in a.yaml:2, which is the one in effect; remove or rename one of the two"
        ]
    );
    fs::remove_file(source.dir.path().join("a.yaml")).unwrap();
    // Both at once: what is in a file goes before what has just left one.
    let first = source.batch();
    assert_eq!((first.faults, first.events.len()), (Some(Vec::new()), 1));
    assert_eq!(
        source.handle.locate(&[(key("x"), "spec.ports[0].port".to_owned())]),
        [Some(Location { file: "b.yaml".into(), line: 16 })]
    );
    source.write("a.yaml", &service("x", 1));
    assert_eq!(source.next()[0], "+Service default/x 3");
}

#[test]
fn fields_are_located() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata:\n    name: l\n  spec:\n    type: X\n";
    let source = watch(&[("f.yaml", &(service("a", 1) + &service("b", 1))), ("l.yaml", list)]);
    let line = |name: &str, field: &str| {
        let places = source.handle.locate(&[(key(name), field.to_owned())]);
        places[0].as_ref().map(|location| location.line)
    };
    assert_eq!(line("b", "spec.ports[0].port"), Some(16));
    assert_eq!(line("b", "spec.ports[0].name"), Some(16));
    assert_eq!(line("b", "spec.selector"), Some(14));
    assert_eq!(line("l", "spec.type"), Some(9));
    assert_eq!(line("none", "spec"), None);
}

#[test]
fn unusable_files_keep_their_last_good_state() {
    let limits = Limits {
        documents_per_file: 3,
        removal_grace: std::time::Duration::from_secs(60),
        ..Limits::default()
    };
    let mut source = watch_with(tempfile::tempdir().unwrap(), &[("f.yaml", &service("a", 1))], |options| {
        options.limits = limits
    });
    source.write("f.yaml", &"# ten megabytes\n".repeat(655_360));
    assert_eq!(
        source.next(),
        ["f.yaml: the file has 10485760 bytes, more than the limit of 4194304; split it into several files"]
    );
    source.write("f.yaml", &service("a", 1).repeat(4));
    assert_eq!(source.next(), ["f.yaml: the file has 4 documents, more than 3; split it into several files"]);
    fs::write(source.dir.path().join("f.yaml"), b"a: 1\nb: \xff\n").unwrap();
    assert_eq!(source.next(), ["f.yaml: line 2 is not UTF-8; save the file as UTF-8"]);
    // Reading this one fails for root, too.
    fs::remove_file(source.dir.path().join("f.yaml")).unwrap();
    symlink("/proc/self/mem", source.dir.path().join("f.yaml")).unwrap();
    let seen = source.next();
    assert!(seen[0].starts_with("f.yaml: the file cannot be read: "), "{seen:?}");
    assert!(seen[0].ends_with("; see to it that it can be read; it is tried again"), "{seen:?}");
    fs::remove_file(source.dir.path().join("f.yaml")).unwrap();
    source.write("f.yaml", &service("a", 2));
    assert_eq!(source.next(), ["+Service default/a 2"]);
}

#[test]
fn a_vanished_directory_keeps_its_state_and_may_return() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("config");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("f.yaml"), service("a", 1) + &service("b", 1)).unwrap();
    let (mut batches, _handle) = start(Options::new(&path), Arc::new(KeyStore::new())).unwrap();
    assert_eq!(describe(&batches.blocking_recv().unwrap()), ["+Service default/a 1", "+Service default/b 1"]);
    fs::rename(&path, outer.path().join("old")).unwrap();
    let vanished = format!(
        "{}: the directory has vanished; its last state stays in effect; create it again, files and all",
        path.display()
    );
    assert_eq!(describe(&batches.blocking_recv().unwrap()), [vanished]);
    fs::write(outer.path().join("old/f.yaml"), service("a", 2)).unwrap();
    fs::rename(outer.path().join("old"), &path).unwrap();
    let back = batches.blocking_recv().unwrap();
    assert_eq!(back.faults, Some(Vec::new()));
    assert_eq!(describe(&back), ["+Service default/a 2", "-Service default/b"]);
    fs::write(path.join("f.yaml"), service("a", 3)).unwrap();
    assert_eq!(describe(&batches.blocking_recv().unwrap()), ["+Service default/a 3"]);
}

fn known(listing: &Listing) -> Vec<Known> {
    listing.events.iter().filter_map(Known::of).collect()
}

#[test]
fn a_restart_emits_true_differences_only() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f.yaml"), service("a", 1) + &service("b", 1) + &service("c", 1)).unwrap();
    let known = known(&read_once(Options::new(dir.path())).unwrap());
    let source = watch_with(dir, &[("f.yaml", &(service("a", 1) + &service("b", 2)))], |options| {
        options.known = known
    });
    assert_eq!(describe(&source.listing), ["+Service default/b 2", "-Service default/c"]);
}

#[test]
fn what_a_broken_file_may_hide_is_not_deleted_at_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f.yaml"), service("a", 1) + &service("b", 1)).unwrap();
    let known = known(&read_once(Options::new(dir.path())).unwrap());
    let mut source = watch_with(dir, &[("f.yaml", "a: [\n")], |options| options.known = known);
    assert_eq!(describe(&source.listing).len(), 1);
    source.write("f.yaml", &service("b", 1));
    assert_eq!(source.next(), ["-Service default/a"]);
}

/// Nobody has the key of a Secret that cannot be read since the start; it is told, and once it can be read, too.
#[test]
fn a_secret_that_a_broken_file_hides_is_told_to_have_no_key() {
    let pair = rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).unwrap();
    let indented = |text: String| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        indented(pair.cert.pem()),
        indented(pair.signing_key.serialize_pem())
    );
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f.yaml"), &text).unwrap();
    let listing = read_once(Options::new(dir.path())).unwrap();
    let state = |event: &Event| {
        let Change::Upsert(payload) = &event.change else { panic!("not there: {event:?}") };
        let object: serde_json::Value = serde_json::from_slice(payload).unwrap();
        (object["privateKey"]["state"].as_str().unwrap().to_owned(), object["data"].clone())
    };
    let (valid, data) = state(&listing.events[0]);
    assert_eq!(valid, "Valid");
    let known = known(&listing);
    let hide = |options: &mut Options| options.known = known;
    let mut source = watch_with(dir, &[("f.yaml", &text.replace("stringData:", "stringData: ["))], hide);
    assert_eq!(state(&source.listing.events[0]), ("Unread".to_owned(), data.clone()));
    source.write("f.yaml", &text);
    let mended = source.batch();
    assert_eq!(state(&mended.events[0]), ("Valid".to_owned(), data));
    assert_eq!(mended.events[0].generation, listing.events[0].generation);
}

#[test]
fn a_missing_directory_is_an_error() {
    let error = start(Options::new("/no/such/dir"), Arc::new(KeyStore::new())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/no/such/dir: not a directory that can be read (No such file or directory (os error 2)); name a directory of YAML files"
    );
}

mod properties {
    use super::{Options, Path, TempDir, Watched, fs, read_once, service, state, watch};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Edit {
        Write(usize, Vec<(usize, u16)>),
        Break(usize, usize),
        Remove(usize),
        Move(usize, usize),
    }

    const FILES: [&str; 4] = ["a.yaml", "b.yaml", "sub/c.yaml", "sub/deep/d.yaml"];

    fn edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            4 => (0..4_usize, prop::collection::vec((0..5_usize, 1..4_u16), 0..4)).prop_map(|(f, s)| Edit::Write(f, s)),
            1 => (0..4_usize, 0..5_usize).prop_map(|(f, s)| Edit::Break(f, s)),
            1 => (0..4_usize).prop_map(Edit::Remove),
            1 => (0..4_usize, 0..4_usize).prop_map(|(f, t)| Edit::Move(f, t)),
        ]
    }

    fn apply(dir: &Path, edit: &Edit) {
        let at = |n: usize| dir.join(FILES[n]);
        match edit {
            Edit::Write(file, services) => {
                fs::create_dir_all(at(*file).parent().unwrap()).unwrap();
                let text: String =
                    services.iter().map(|(name, port)| service(&format!("s{name}"), *port)).collect();
                fs::write(at(*file), text).unwrap();
            }
            Edit::Break(file, name) => {
                fs::create_dir_all(at(*file).parent().unwrap()).unwrap();
                fs::write(at(*file), service(&format!("s{name}"), 9) + "---\na: [\n").unwrap();
            }
            Edit::Remove(file) => drop(fs::remove_file(at(*file))),
            Edit::Move(from, to) => {
                fs::create_dir_all(at(*to).parent().unwrap()).unwrap();
                drop(fs::rename(at(*from), at(*to)));
            }
        }
    }

    /// A broken document keeps what was there before, so the end must be whole.
    fn mend(dir: &TempDir) {
        for file in FILES {
            let path = dir.path().join(file);
            if fs::read_to_string(&path).is_ok_and(|text| text.contains("a: [")) {
                fs::write(path, service("mended", 1)).unwrap();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_edits_end_in_what_is_there(edits in prop::collection::vec(edit(), 1..12)) {
            let Watched { dir, mut batches, listing, handle } = watch(&[]);
            edits.iter().for_each(|edit| apply(dir.path(), edit));
            mend(&dir);
            let mut wanted = BTreeMap::new();
            fs::write(dir.path().join("z.yaml"), service("marker", 1)).unwrap();
            state(&read_once(Options::new(dir.path())).unwrap().events, &mut wanted);
            let mut have = BTreeMap::new();
            state(&listing.events, &mut have);
            while have != wanted {
                state(&batches.blocking_recv().unwrap().events, &mut have);
            }
            drop(handle);
            while let Some(batch) = batches.blocking_recv() {
                state(&batch.events, &mut have);
            }
            prop_assert_eq!(have, wanted);
        }
    }
}

use Source as Watched;
