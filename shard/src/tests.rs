//! Writer and translator, joined and apart.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proto::{
    Base, Blame, Cause, Change, Delta, Epoch, Event, Feedback, Kind, Put, ResourceKey, Revision, XdsKey,
    XdsKind,
};
use store::{Compaction, Error, EventLog, LogId, MemoryLog, MemorySnapshots, SnapshotStore};
use tokio::sync::{mpsc, watch};
use translate::{Engine, Env, Stats};

use super::{Machine, Options, Outputs, Told, Translator, Writer};

/// What both parts said, as messages.
#[derive(Debug)]
enum Said {
    Published(Delta),
    Log(Option<String>),
    Refused(ResourceKey),
    Failed(Vec<ResourceKey>),
    Feedback(Vec<Blame>),
}

struct Recorder(mpsc::UnboundedSender<Said>);

impl Outputs for Recorder {
    fn publish(&self, delta: &Delta, _moved: &[ResourceKey]) {
        self.0.send(Said::Published(delta.clone())).unwrap();
    }
    fn translator_failed(&self, keys: &[ResourceKey], _message: &str) {
        self.0.send(Said::Failed(keys.to_vec())).unwrap();
    }
    fn feedback(&self, _feedback: &Feedback, blamed: &[Blame]) {
        self.0.send(Said::Feedback(blamed.to_vec())).unwrap();
    }
}

impl Told for Recorder {
    fn log_failing(&self, error: Option<&Error>) {
        self.0.send(Said::Log(error.map(ToString::to_string))).unwrap();
    }
    fn refused(&self, key: &ResourceKey, _reason: &str) {
        self.0.send(Said::Refused(key.clone())).unwrap();
    }
}

/// An engine with a bug: it panics on version 2 of an object `trap`, and is no good any more.
struct Faulty(Engine);

impl Machine for Faulty {
    type Env = Env;
    fn new(env: &Env) -> Self {
        Faulty(Engine::new(env.clone()))
    }
    fn apply(&mut self, revision: Revision, events: &[Event]) -> Delta {
        let is_trap = |event: &Event| event.key.name == "trap" && event.resource_version == "2";
        assert!(!events.iter().any(is_trap), "a bug");
        self.0.apply(revision, events)
    }
    fn objects(&self) -> impl Iterator<Item = &Event> + Send {
        self.0.objects()
    }
    fn has(&self, object: &ResourceKey) -> bool {
        self.0.has(object)
    }
    fn revision_of(&self, object: &ResourceKey) -> Option<Revision> {
        self.0.revision_of(object)
    }
    fn owners(&self, piece: &XdsKey) -> Vec<ResourceKey> {
        self.0.owners(piece)
    }
    fn stats(&self) -> &Stats {
        self.0.stats()
    }
}

/// A log whose disk is full as long as the test says so.
struct Disk {
    log: MemoryLog,
    full: Mutex<usize>,
}

#[async_trait]
impl EventLog for Disk {
    async fn append(&self, events: &[Event]) -> Result<Revision, Error> {
        {
            let mut full = self.full.lock().unwrap();
            if *full > 0 {
                *full -= 1;
                return Err(Error::Full { dir: "log".into(), free: 0, needed: 1 });
            }
        }
        self.log.append(events).await
    }
    async fn read(&self, after: Revision, limit: usize) -> Result<Vec<(Revision, Event)>, Error> {
        self.log.read(after, limit).await
    }
    async fn head(&self) -> Result<Revision, Error> {
        self.log.head().await
    }
    async fn oldest(&self) -> Result<Revision, Error> {
        self.log.oldest().await
    }
    async fn newest(&self, key: &ResourceKey) -> Result<Option<(Revision, Event)>, Error> {
        self.log.newest(key).await
    }
    async fn history(&self, key: &ResourceKey) -> Result<Vec<(Revision, Event)>, Error> {
        self.log.history(key).await
    }
    async fn state_at(&self, revision: Revision) -> Result<Vec<(Revision, Event)>, Error> {
        self.log.state_at(revision).await
    }
    async fn compact(&self, keep: usize) -> Result<Compaction, Error> {
        self.log.compact(keep).await
    }
    fn identity(&self) -> LogId {
        self.log.identity()
    }
    fn watch_head(&self) -> watch::Receiver<Revision> {
        self.log.watch_head()
    }
}

fn event(kind: Kind, name: &str, version: u32, body: &str) -> Event {
    let namespace = if kind.is_cluster_scoped() { "" } else { "default" };
    let api = match kind.group() {
        "" => "v1".to_owned(),
        group => format!("{group}/v1"),
    };
    let metadata = if namespace.is_empty() {
        format!(r#"{{"name":"{name}"}}"#)
    } else {
        format!(r#"{{"name":"{name}","namespace":"{namespace}"}}"#)
    };
    let json = format!(r#"{{"apiVersion":"{api}","kind":"{}","metadata":{metadata},{body}}}"#, kind.kind());
    Event {
        key: ResourceKey::local(kind, namespace, name),
        uid: "u".into(),
        resource_version: version.to_string().into(),
        generation: i64::from(version),
        epoch: Epoch(1),
        observed_unix_nanos: 1,
        trace_parent: "".into(),
        change: Change::Upsert(json.into()),
    }
}

fn route(name: &str, version: u32, path: &str) -> Event {
    let body = format!(
        r#""spec":{{"parentRefs":[{{"name":"web"}}],"rules":[{{"matches":[{{"path":{{"type":"PathPrefix","value":"{path}"}}}}]}}]}}"#
    );
    event(Kind::HTTP_ROUTE, name, version, &body)
}

fn gateway() -> Vec<Event> {
    vec![
        event(Kind::GATEWAY_CLASS, "fleetgate", 1, r#""spec":{"controllerName":"fleetgate.dev/gateway"}"#),
        event(
            Kind::GATEWAY,
            "web",
            1,
            r#""spec":{"gatewayClassName":"fleetgate","listeners":[{"name":"http","port":8080,"protocol":"HTTP"}]}"#,
        ),
    ]
}

/// Both parts, running.
struct Bed {
    events: mpsc::Sender<Vec<Event>>,
    feedback: mpsc::UnboundedSender<Feedback>,
    stop: watch::Sender<bool>,
    said: mpsc::UnboundedReceiver<Said>,
    task: tokio::task::JoinHandle<()>,
}

impl Bed {
    async fn start(log: Arc<dyn EventLog>, snapshots: Arc<dyn SnapshotStore>, options: Options) -> Bed {
        Bed::start_with::<Engine>(log, snapshots, options).await
    }

    async fn start_with<M: Machine<Env = Env>>(
        log: Arc<dyn EventLog>,
        snapshots: Arc<dyn SnapshotStore>,
        options: Options,
    ) -> Bed {
        let (said, receiver) = mpsc::unbounded_channel();
        let outputs = Arc::new(Recorder(said));
        let writer = Writer::new(Arc::clone(&log), Arc::clone(&outputs));
        let translator =
            Translator::<M>::restore(log, snapshots, Env::default(), options, outputs).await.unwrap();
        let (events, events_receiver) = mpsc::channel(8);
        let (feedback, feedback_receiver) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let (batches, durable) = mpsc::channel(4);
        let writer = writer.run(events_receiver, batches, stopped);
        let translator = translator.run(durable, feedback_receiver);
        let task = tokio::spawn(async {
            tokio::join!(writer, translator);
        });
        Bed { events, feedback, stop, said: receiver, task }
    }

    async fn published(&mut self) -> Delta {
        match self.said.recv().await.unwrap() {
            Said::Published(delta) => delta,
            other => panic!("{other:?} instead of a delta"),
        }
    }

    async fn send(&mut self, events: Vec<Event>) -> Delta {
        self.events.send(events).await.unwrap();
        self.published().await
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

/// Applies a delta to what a proxy has.
fn fold(state: &mut std::collections::BTreeMap<XdsKey, Put>, delta: &Delta) {
    if delta.base == Base::Nothing {
        state.clear();
    }
    for put in &delta.puts {
        state.insert(put.key.clone(), put.clone());
    }
    for key in &delta.removes {
        state.remove(key);
    }
}

#[tokio::test]
async fn a_restart_gives_what_was_live_with_and_without_a_snapshot() {
    let log = Arc::new(MemoryLog::new().unwrap());
    let snapshots = Arc::new(MemorySnapshots::default());
    let options = Options { snapshot_every: 3, ..Options::default() };
    let mut live = std::collections::BTreeMap::new();
    let mut bed = Bed::start(log.clone(), snapshots.clone(), options).await;
    assert_eq!(bed.published().await.revision, Revision::NONE);
    let gone = Event { change: Change::Delete, ..route("b", 2, "/") };
    for batch in [gateway(), vec![route("a", 1, "/a"), route("b", 1, "/b")], vec![route("a", 2, "/c"), gone]]
    {
        fold(&mut live, &bed.send(batch).await);
    }
    assert!(live.keys().any(|key| key.kind == XdsKind::VirtualHost), "{:?}", live.keys());
    bed.end().await;
    for snapshots in [snapshots, Arc::new(MemorySnapshots::default())] {
        let mut bed = Bed::start(log.clone(), snapshots, options).await;
        let restored = bed.published().await;
        assert_eq!(restored.revision, log.head().await.unwrap());
        let mut state = std::collections::BTreeMap::new();
        fold(&mut state, &restored);
        assert_eq!(state, live);
        bed.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_publishes_nothing_and_heals() {
    let log = Arc::new(Disk { log: MemoryLog::new().unwrap(), full: Mutex::new(2) });
    let mut bed = Bed::start(log.clone(), Arc::new(MemorySnapshots::default()), Options::default()).await;
    bed.published().await;
    bed.events.send(gateway()).await.unwrap();
    for _ in 0..2 {
        match bed.said.recv().await.unwrap() {
            Said::Log(Some(error)) => assert!(error.contains("disk is full"), "{error}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(bed.said.recv().await.unwrap(), Said::Log(None)));
    let delta = bed.published().await;
    assert_eq!((delta.revision, log.head().await.unwrap()), (Revision(2), Revision(2)));
    bed.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_the_disk_is_full_acknowledges_nothing() {
    let log = Arc::new(Disk { log: MemoryLog::new().unwrap(), full: Mutex::new(usize::MAX) });
    let mut bed = Bed::start(log.clone(), Arc::new(MemorySnapshots::default()), Options::default()).await;
    bed.published().await;
    bed.events.send(gateway()).await.unwrap();
    assert!(matches!(bed.said.recv().await.unwrap(), Said::Log(Some(_))));
    bed.end().await;
    assert_eq!(log.head().await.unwrap(), Revision::NONE);
}

#[tokio::test(start_paused = true)]
async fn proxies_are_heard_while_the_disk_is_full() {
    let log = Arc::new(Disk { log: MemoryLog::new().unwrap(), full: Mutex::new(usize::MAX) });
    let mut bed = Bed::start(log.clone(), Arc::new(MemorySnapshots::default()), Options::default()).await;
    bed.published().await;
    bed.events.send(gateway()).await.unwrap();
    assert!(matches!(bed.said.recv().await.unwrap(), Said::Log(Some(_))));
    let scope = ResourceKey::local(Kind::GATEWAY, "default", "web");
    bed.feedback.send(Feedback::Connected { proxy: "p".into(), scope, walks: false }).unwrap();
    while !matches!(bed.said.recv().await.unwrap(), Said::Feedback(_)) {}
    bed.end().await;
}

#[tokio::test]
async fn what_the_engine_panics_on_stays_as_it_was_and_is_never_lost() {
    let (log, snapshots) = (Arc::new(MemoryLog::new().unwrap()), Arc::new(MemorySnapshots::default()));
    let options = Options { snapshot_every: 1, ..Options::default() };
    let mut bed = Bed::start_with::<Faulty>(log.clone(), snapshots.clone(), options).await;
    let mut live = std::collections::BTreeMap::new();
    bed.published().await;
    let mut batch = gateway();
    batch.extend([route("trap", 1, "/good"), route("a", 1, "/a")]);
    fold(&mut live, &bed.send(batch).await);
    let said = |live: &std::collections::BTreeMap<XdsKey, Put>| format!("{live:?}");
    // The batch goes on without it, and with all else.
    fold(&mut live, &bed.send(vec![route("trap", 2, "/worse"), route("a", 2, "/b")]).await);
    assert!(said(&live).contains("/good") && said(&live).contains("/b"), "{live:?}");
    match bed.said.recv().await.unwrap() {
        Said::Failed(keys) => assert_eq!(keys, [route("trap", 2, "/").key]),
        other => panic!("{other:?}"),
    }
    fold(&mut live, &bed.send(vec![route("a", 3, "/c")]).await);
    assert!(said(&live).contains("/good") && said(&live).contains("/c"), "{live:?}");
    bed.end().await;
    // Again with the bug, and then by a build without it: from the snapshot, and from the log alone.
    for mends in [false, true] {
        for snapshots in [snapshots.clone(), Arc::new(MemorySnapshots::default())] {
            let mut bed = match mends {
                true => Bed::start(log.clone(), snapshots, options).await,
                false => Bed::start_with::<Faulty>(log.clone(), snapshots, options).await,
            };
            let mut restored = std::collections::BTreeMap::new();
            fold(&mut restored, &bed.published().await);
            assert_eq!(said(&restored).contains("/worse"), mends, "{restored:?}");
            assert_eq!(said(&restored).contains("/good"), !mends, "{restored:?}");
            bed.end().await;
        }
    }
}

#[tokio::test]
async fn a_translator_beside_no_writer_follows_the_log() {
    let log = Arc::new(MemoryLog::new().unwrap());
    log.append(&gateway()).await.unwrap();
    let (said, mut receiver) = mpsc::unbounded_channel();
    let outputs = Arc::new(Recorder(said));
    let snapshots = Arc::new(MemorySnapshots::default());
    let restored =
        Translator::<Engine>::restore(log.clone(), snapshots, Env::default(), Options::default(), outputs);
    let translator = restored.await.unwrap();
    let (batches, durable) = mpsc::channel(4);
    let (_feedback, feedback) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let (reader, after) = (log.clone(), translator.revision());
    let following =
        tokio::spawn(async move { super::follow(reader.as_ref(), after, batches, stopped).await });
    let translating = tokio::spawn(translator.run(durable, feedback));
    let mut live = std::collections::BTreeMap::new();
    let mut fold_until = async |revision: Revision| {
        loop {
            let Said::Published(delta) = receiver.recv().await.unwrap() else { panic!("no delta") };
            fold(&mut live, &delta);
            if delta.revision == revision {
                return format!("{live:?}");
            }
        }
    };
    fold_until(Revision(2)).await;
    let revision = log.append(&[route("a", 1, "/a"), route("b", 1, "/b")]).await.unwrap();
    assert!(fold_until(revision).await.contains("/b"));
    let revision = log.append(&[Event { change: Change::Delete, ..route("b", 2, "/b") }]).await.unwrap();
    assert!(!fold_until(revision).await.contains("/b"));
    stop.send_replace(true);
    following.await.unwrap().unwrap();
    translating.await.unwrap();
    let (batches, _durable) = mpsc::channel(4);
    let error = super::follow(log.as_ref(), Revision(99), batches, stop.subscribe()).await.unwrap_err();
    assert!(matches!(error, Error::Ahead { .. }), "{error}");
}

#[tokio::test]
async fn an_event_that_no_log_takes_does_not_hold_up_the_others() {
    let log = Arc::new(MemoryLog::new().unwrap());
    let mut bed = Bed::start(log, Arc::new(MemorySnapshots::default()), Options::default()).await;
    bed.published().await;
    let mut endless = route("endless", 1, "/");
    endless.key.name = "x".repeat(100_000).into();
    let mut batch = gateway();
    batch.insert(1, endless.clone());
    bed.events.send(batch).await.unwrap();
    match bed.said.recv().await.unwrap() {
        Said::Refused(key) => {
            assert_eq!(key, endless.key);
            assert_eq!(bed.published().await.revision, Revision(2));
        }
        // A log that takes names of any length is within its contract.
        Said::Published(delta) => assert_eq!(delta.revision, Revision(3)),
        other => panic!("{other:?}"),
    }
    bed.end().await;
}

#[tokio::test]
async fn a_nack_is_blamed_on_the_route_that_changed_and_stays_with_it() {
    let log = Arc::new(MemoryLog::new().unwrap());
    let mut bed = Bed::start(log, Arc::new(MemorySnapshots::default()), Options::default()).await;
    bed.published().await;
    let mut batch = gateway();
    batch.extend([route("good", 1, "/good"), route("bad", 1, "/bad")]);
    let first = bed.send(batch).await;
    let piece = first.puts.iter().find(|put| put.key.kind == XdsKind::Routes).unwrap().key.clone();
    let (proxy, scope) = ("p".to_owned(), piece.scope.clone());
    let acked = Feedback::Acked { proxy: proxy.clone(), scope: scope.clone(), revision: first.revision };
    bed.feedback.send(acked).unwrap();
    assert!(matches!(bed.said.recv().await.unwrap(), Said::Feedback(blamed) if blamed.is_empty()));
    let nack = |revision| Feedback::Nacked {
        proxy: proxy.clone(),
        scope: scope.clone(),
        revision,
        keys: vec![piece.clone()],
        message: "no such thing".into(),
        cause: Cause::Content,
    };
    let blamed = |said| match said {
        Said::Feedback(blamed) => blamed.into_iter().map(|blame| blame.object.name.to_string()).collect(),
        other => panic!("{other:?}"),
    };
    let second = bed.send(vec![route("bad", 2, "/worse")]).await;
    bed.feedback.send(nack(second.revision)).unwrap();
    let names: Vec<String> = blamed(bed.said.recv().await.unwrap());
    assert_eq!(names, ["bad"]);
    // The innocent one changes the same piece, which is refused for the same reason.
    let third = bed.send(vec![route("good", 2, "/better")]).await;
    bed.feedback.send(nack(third.revision)).unwrap();
    let names: Vec<String> = blamed(bed.said.recv().await.unwrap());
    assert_eq!(names, ["bad"]);
    bed.end().await;
}

#[tokio::test]
async fn a_delta_is_acked_when_every_connected_proxy_has_it() {
    let recent = super::Recent::default();
    let scope = ResourceKey::local(Kind::GATEWAY, "default", "web");
    let key = XdsKey::new(scope.clone(), XdsKind::Cluster, "c");
    recent.add(&Delta {
        revision: Revision(5),
        observed_unix_nanos: 1,
        removes: vec![key],
        ..Delta::default()
    });
    let acked = |proxy: &str, revision| {
        let feedback =
            Feedback::Acked { proxy: proxy.into(), scope: scope.clone(), revision: Revision(revision) };
        recent.feedback(&feedback);
        recent.since(Revision(4))[0].acked_ms.is_some()
    };
    for proxy in ["a", "b"] {
        recent.feedback(&Feedback::Connected { proxy: proxy.into(), scope: scope.clone(), walks: false });
    }
    assert_eq!([acked("a", 5), acked("b", 4), acked("b", 6)], [false, false, true]);
    assert!(recent.since(Revision(5)).is_empty());
}
