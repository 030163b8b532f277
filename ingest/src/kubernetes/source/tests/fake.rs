//! An API server that does what a test says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::channel::{Channel, Sender};
use http_body_util::{Either, Full};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::kinds::KINDS;

type Answer = Response<Either<Full<Bytes>, Channel<Bytes, std::io::Error>>>;

#[derive(Clone, Default)]
pub(super) struct Fake {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    version: u64,
    /// `group/version/plural` of what is installed.
    installed: BTreeSet<String>,
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// All that was ever said of objects, with its version.
    history: Vec<(u64, String, Value)>,
    watches: BTreeMap<String, Sender<Bytes, std::io::Error>>,
    /// Watches that stay open and are told nothing any more.
    lost: Vec<Sender<Bytes, std::io::Error>>,
    /// Answers that come before all others, by plural: code, Retry-After, text.
    refusals: BTreeMap<String, VecDeque<(u16, Option<u32>, String)>>,
    requests: Vec<(String, String)>,
    queries: BTreeMap<String, String>,
    down: bool,
    /// Resources whose watches say nothing on their own.
    silent: BTreeSet<String>,
}

pub(super) const GATEWAY_API: &str = "gateway.networking.k8s.io";

impl Fake {
    pub(super) fn new() -> Fake {
        let fake = Fake::default();
        // What is announced is something to tell: a test that wants it installs it.
        for known in KINDS.iter().filter(|known| !known.kind.group().is_empty() && !known.announced) {
            let group_version = format!("{}/{}", known.kind.group(), known.versions[0]);
            fake.install(&format!("{group_version}/{}", known.plural), true);
        }
        fake
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = fake.answer(&request);
            async move { answer.ok_or_else(|| std::io::Error::other("connection refused")) }
        });
        Client::new(service, "default")
    }

    pub(super) fn install(&self, resource: &str, there: bool) {
        let mut state = self.state();
        if there {
            state.installed.insert(resource.to_owned());
        } else {
            state.installed.remove(resource);
        }
    }

    /// The watches of a resource begin in silence.
    pub(super) fn silence(&self, plural: &str) {
        self.state().silent.insert(plural.to_owned());
    }

    pub(super) fn down(&self, down: bool) {
        let mut state = self.state();
        state.down = down;
        state.watches.clear();
    }

    /// The next requests for a resource are refused.
    pub(super) fn refuse(&self, plural: &str, code: u16, retry_after: Option<u32>, text: &str) {
        let refusal = (code, retry_after, text.to_owned());
        self.state().refusals.entry(plural.to_owned()).or_default().push_back(refusal);
    }

    /// Creates or updates an object.
    pub(super) fn put(&self, plural: &str, mut object: Value) {
        let mut state = self.state();
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        state.objects.entry(plural.to_owned()).or_default().insert(name, object.clone());
        state.happen(plural, json!({"type": "MODIFIED", "object": object}));
    }

    pub(super) fn delete(&self, plural: &str, name: &str) {
        let mut state = self.state();
        if let Some(mut object) = state.objects.entry(plural.to_owned()).or_default().remove(name) {
            state.version += 1;
            object["metadata"]["resourceVersion"] = state.version.to_string().into();
            state.happen(plural, json!({"type": "DELETED", "object": object}));
        }
    }

    /// Says a line to the watch of a resource.
    pub(super) fn say(&self, plural: &str, line: &Value) {
        self.state().say(plural, line);
    }

    /// Ends the watch of a resource, as a server does that restarts.
    pub(super) fn close(&self, plural: &str) {
        self.state().watches.remove(plural);
    }

    /// Loses the watch of a resource, as a network does that drops its packets: nobody closes it.
    pub(super) fn lose(&self, plural: &str) {
        let mut state = self.state();
        let lost = state.watches.remove(plural);
        state.lost.extend(lost);
    }

    /// Names and generations of all objects.
    pub(super) fn objects(&self, plural: &str) -> BTreeMap<String, i64> {
        let state = self.state();
        let objects = state.objects.get(plural).into_iter().flatten();
        objects.map(|(name, o)| (name.clone(), o["metadata"]["generation"].as_i64().unwrap_or(0))).collect()
    }

    /// Waits until a resource is watched.
    pub(super) async fn watched(&self, plural: &str) {
        loop {
            let changed = self.changed.notified();
            if self.state().watches.contains_key(plural) {
                return;
            }
            changed.await;
        }
    }

    /// What was asked of a resource since the last call.
    pub(super) fn requests(&self, plural: &str) -> Vec<String> {
        let mut state = self.state();
        let (mine, others) =
            std::mem::take(&mut state.requests).into_iter().partition(|(of, _)| of == plural);
        state.requests = others;
        mine.into_iter().map(|(_, what)| what).collect()
    }

    /// The query of the newest request for a resource.
    pub(super) fn last_query(&self, plural: &str) -> String {
        self.state().queries.get(plural).cloned().unwrap_or_default()
    }

    fn answer(&self, request: &Request<Body>) -> Option<Answer> {
        let mut state = self.state();
        if state.down {
            return None;
        }
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        if path == "/apis" {
            return Some(whole(200, None, &state.groups().to_string()));
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        if parts.len() == 3 && parts[0] == "apis" {
            return Some(whole(200, None, &state.resources(parts[1], parts[2]).to_string()));
        }
        let plural = parts.last().copied().unwrap_or_default();
        let asked = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let what = match (asked("watch").is_some(), asked("sendInitialEvents").is_some()) {
            (true, true) => "stream".to_owned(),
            (true, false) => format!("watch {}", asked("resourceVersion").unwrap_or_default()),
            _ => format!("page {}", asked("continue").unwrap_or_default()),
        };
        state.queries.insert(plural.to_owned(), query.to_owned());
        state.requests.push((plural.to_owned(), what.clone()));
        if let Some((code, retry_after, text)) =
            state.refusals.entry(plural.to_owned()).or_default().pop_front()
        {
            return Some(whole(code, retry_after, &text));
        }
        let resource = [&parts[1..parts.len().min(3)], &[plural]].concat().join("/");
        let installed = parts[0] == "api" || state.installed.contains(&resource);
        if !installed {
            return Some(whole(404, None, "the server could not find the requested resource"));
        }
        if what.starts_with("page") {
            let items: Vec<Value> =
                state.objects.get(plural).into_iter().flat_map(|o| o.values().cloned()).collect();
            let list = json!({"metadata": {"resourceVersion": state.version.to_string()}, "items": items});
            return Some(whole(200, None, &list.to_string()));
        }
        let (sender, body) = Channel::new(10_000);
        state.watches.insert(plural.to_owned(), sender);
        if what == "stream" && !state.silent.contains(plural) {
            state.initial(plural);
        }
        if let Some(version) = what.strip_prefix("watch ").and_then(|version| version.parse().ok()) {
            state.replay(plural, version);
        }
        self.changed.notify_waiters();
        Some(Response::new(Either::Right(body)))
    }
}

impl State {
    fn say(&mut self, plural: &str, line: &Value) {
        if let Some(watch) = self.watches.get_mut(plural) {
            let frame = http_body::Frame::data(Bytes::from(format!("{line}\n")));
            let _ = watch.try_send(frame);
        }
    }

    fn happen(&mut self, plural: &str, line: Value) {
        self.say(plural, &line);
        self.history.push((self.version, plural.to_owned(), line));
    }

    fn replay(&mut self, plural: &str, after: u64) {
        let later = self.history.iter().filter(|(version, of, _)| *version > after && of == plural);
        let lines: Vec<Value> = later.map(|(_, _, line)| line.clone()).collect();
        lines.iter().for_each(|line| self.say(plural, line));
    }

    fn initial(&mut self, plural: &str) {
        let objects: Vec<Value> =
            self.objects.get(plural).into_iter().flat_map(|o| o.values().cloned()).collect();
        for object in objects {
            self.say(plural, &json!({"type": "ADDED", "object": object}));
        }
        let metadata = json!({"resourceVersion": self.version.to_string(),
            "annotations": {"k8s.io/initial-events-end": "true"}});
        self.say(plural, &json!({"type": "BOOKMARK", "object": {"metadata": metadata}}));
    }

    fn groups(&self) -> Value {
        let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for resource in &self.installed {
            let parts: Vec<&str> = resource.split('/').collect();
            groups.entry(parts[0]).or_default().insert(parts[1]);
        }
        let group = |(name, versions): (&str, BTreeSet<&str>)| {
            let versions: Vec<Value> = versions.into_iter().map(|v| json!({"version": v})).collect();
            json!({"name": name, "versions": versions})
        };
        json!({"kind": "APIGroupList", "groups": groups.into_iter().map(group).collect::<Vec<_>>()})
    }

    fn resources(&self, group: &str, version: &str) -> Value {
        let prefix = format!("{group}/{version}/");
        let names = self.installed.iter().filter_map(|resource| resource.strip_prefix(&prefix));
        json!({"resources": names.map(|name| json!({"name": name})).collect::<Vec<_>>()})
    }
}

fn whole(code: u16, retry_after: Option<u32>, text: &str) -> Answer {
    let mut answer = Response::builder().status(code);
    if let Some(seconds) = retry_after {
        answer = answer.header("retry-after", seconds);
    }
    answer.body(Either::Left(Full::new(Bytes::from(text.to_owned())))).unwrap()
}
