//! Routes that come before the Services that they name.
//!
//! Each kind has a watch of its own, so of a Service, its endpoints and a route that are made together the route
//! may be told first, and would answer 500 or 503 for a moment. It waits for them, for a short while.

use std::time::Duration;

use proto::{Change, Event, Kind, ResourceKey};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;
use tokio::time::Instant;

/// The longest wait. Somebody who names a Service that does not come is to be told soon.
const PATIENCE: Duration = Duration::from_millis(500);
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// What is there to be referred to, and what waits for more.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    services: FxHashSet<ResourceKey>,
    /// Services that have just come and have no endpoint yet, and until when that is worth a wait.
    bare: FxHashMap<ResourceKey, Instant>,
    /// Services whose endpoints came before them, and when to forget that.
    early: FxHashMap<ResourceKey, Instant>,
    /// Services that were waited for in vain: not again before they come.
    in_vain: FxHashSet<ResourceKey>,
    held: FxHashMap<ResourceKey, Held>,
}

#[derive(Debug)]
struct Held {
    event: Event,
    needs: Vec<ResourceKey>,
    until: Instant,
}

#[derive(Deserialize)]
struct Route {
    #[serde(default)]
    spec: RouteSpec,
}

#[derive(Default, Deserialize)]
struct RouteSpec {
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    backend_refs: Vec<BackendRef>,
}

#[derive(Deserialize)]
struct BackendRef {
    #[serde(default)]
    group: String,
    kind: Option<String>,
    namespace: Option<String>,
    name: String,
}

#[derive(Deserialize)]
struct Slice {
    metadata: Labelled,
    #[serde(default)]
    endpoints: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Deserialize)]
struct Labelled {
    #[serde(default)]
    labels: FxHashMap<String, String>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(default)]
    spec: ServiceSpec,
}

#[derive(Default, Deserialize)]
struct ServiceSpec {
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

impl Waiting {
    /// Takes note of a complete listing: nothing of it waits.
    pub(super) fn listed(&mut self, events: &[Event]) {
        let services = events.iter().filter(|event| event.key.kind == Kind::SERVICE);
        self.services.extend(services.map(|event| event.key.clone()));
    }

    /// What may go out now: of these events, and of earlier ones.
    pub(super) fn pass(&mut self, events: Vec<Event>, now: Instant) -> Vec<Event> {
        self.bare.retain(|_, until| *until > now);
        self.early.retain(|_, until| *until > now);
        for event in &events {
            match &event.key.kind {
                kind if *kind == Kind::SERVICE => self.service(event, now),
                kind if *kind == Kind::ENDPOINT_SLICE => self.slice(event, now),
                _ => {}
            }
        }
        let mut passed = Vec::with_capacity(events.len());
        for event in events {
            let before = self.held.remove(&event.key);
            let needs = if is_route(&event.key.kind) { services_of(&event) } else { Vec::new() };
            if needs.iter().any(|service| self.is_awaited(service)) {
                let until = before.map_or(now + PATIENCE, |held| held.until);
                self.held.insert(event.key.clone(), Held { event, needs, until });
            } else {
                passed.push(event);
            }
        }
        passed.extend(self.release(now));
        passed
    }

    /// When to call [`Waiting::pass`] again though no event has come.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.held.values().map(|held| held.until).min()
    }

    fn release(&mut self, now: Instant) -> Vec<Event> {
        let late: Vec<ResourceKey> =
            self.held.values().filter(|held| held.until <= now).flat_map(|held| held.needs.clone()).collect();
        for service in late {
            self.bare.remove(&service);
            if !self.services.contains(&service) {
                self.in_vain.insert(service);
            }
        }
        let ready = |held: &Held| !held.needs.iter().any(|service| self.is_awaited(service));
        let keys: Vec<ResourceKey> =
            self.held.iter().filter(|(_, held)| ready(held)).map(|(key, _)| key.clone()).collect();
        let mut events: Vec<Event> =
            keys.iter().filter_map(|key| self.held.remove(key)).map(|held| held.event).collect();
        events.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        events
    }

    fn is_awaited(&self, service: &ResourceKey) -> bool {
        if self.services.contains(service) {
            return self.bare.contains_key(service);
        }
        !self.in_vain.contains(service)
    }

    fn service(&mut self, event: &Event, now: Instant) {
        let key = &event.key;
        match &event.change {
            Change::Upsert(payload) => {
                if !self.services.insert(key.clone()) {
                    return;
                }
                self.in_vain.remove(key);
                if self.early.remove(key).is_none() && has_slices(payload) {
                    self.bare.insert(key.clone(), now + PATIENCE);
                }
            }
            Change::Delete => {
                self.services.remove(key);
                self.bare.remove(key);
            }
            _ => {}
        }
    }

    fn slice(&mut self, event: &Event, now: Instant) {
        // The commonest event of all is read only while it may matter.
        if event.generation > 1 && self.bare.is_empty() && self.held.is_empty() {
            return;
        }
        let Change::Upsert(payload) = &event.change else { return };
        let Ok(slice) = serde_json::from_slice::<Slice>(payload) else { return };
        let Some(name) = slice.metadata.labels.get(SERVICE_LABEL) else { return };
        if slice.endpoints.is_none_or(|endpoints| endpoints.is_empty()) {
            return;
        }
        let service = service_key(event, &event.key.namespace, name);
        if self.bare.remove(&service).is_none() && !self.services.contains(&service) {
            self.early.insert(service, now + PATIENCE);
        }
    }
}

fn is_route(kind: &Kind) -> bool {
    kind.group() == Kind::HTTP_ROUTE.group() && kind.kind().ends_with("Route")
}

/// The Services that a route sends requests to.
fn services_of(route: &Event) -> Vec<ResourceKey> {
    let Change::Upsert(payload) = &route.change else { return Vec::new() };
    // What cannot be read waits for nothing; the translator says what is wrong with it.
    let Ok(read) = serde_json::from_slice::<Route>(payload) else { return Vec::new() };
    let refs = read.spec.rules.into_iter().flat_map(|rule| rule.backend_refs);
    let services = refs.filter(|to| to.group.is_empty() && to.kind.as_deref().is_none_or(|k| k == "Service"));
    services
        .map(|to| service_key(route, to.namespace.as_deref().unwrap_or(&route.key.namespace), &to.name))
        .collect()
}

fn service_key(of: &Event, namespace: &str, name: &str) -> ResourceKey {
    ResourceKey {
        cluster: of.key.cluster.clone(),
        kind: Kind::SERVICE,
        namespace: namespace.into(),
        name: name.into(),
    }
}

/// An ExternalName Service never has any.
fn has_slices(payload: &[u8]) -> bool {
    serde_json::from_slice::<Service>(payload)
        .is_ok_and(|service| service.spec.kind.as_deref() != Some("ExternalName"))
}

#[cfg(test)]
mod tests {
    use proto::{Change, ClusterId, Epoch, Event, Kind, ResourceKey};
    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::{PATIENCE, Waiting};

    fn event(kind: Kind, name: &str, payload: Option<Value>) -> Event {
        let change = payload.map_or(Change::Delete, |payload| Change::Upsert(payload.to_string().into()));
        let blank = Event::synced(ClusterId::LOCAL, kind.clone(), Epoch(1), Epoch(0), 1);
        Event { key: ResourceKey::local(kind, "default", name), generation: 1, change, ..blank }
    }

    fn route(name: &str, service: &str) -> Event {
        let spec = json!({"rules": [{"backendRefs": [{"name": service, "port": 80}]}]});
        event(Kind::HTTP_ROUTE, name, Some(json!({"spec": spec})))
    }

    fn service(name: &str) -> Event {
        event(Kind::SERVICE, name, Some(json!({"spec": {"ports": [{"port": 80}]}})))
    }

    fn slice(service: &str) -> Event {
        let metadata = json!({"labels": {"kubernetes.io/service-name": service}});
        let slice = json!({"metadata": metadata, "endpoints": [{"addresses": ["10.0.0.1"]}]});
        event(Kind::ENDPOINT_SLICE, &format!("{service}-1"), Some(slice))
    }

    fn names(events: &[Event]) -> Vec<&str> {
        events.iter().map(|event| event.key.name.as_str()).collect()
    }

    #[test]
    fn a_route_waits_for_its_service_and_that_for_an_endpoint() {
        let now = Instant::now();
        for order in [[service("s"), slice("s")], [slice("s"), service("s")]] {
            let mut waiting = Waiting::default();
            assert_eq!(names(&waiting.pass(vec![route("r", "s")], now)), Vec::<&str>::new());
            assert_eq!(waiting.wake(), Some(now + PATIENCE));
            let [first, second] = order;
            assert_eq!(waiting.pass(vec![first], now).len(), 1);
            assert_eq!(names(&waiting.pass(vec![second], now))[1..], ["r"]);
            assert_eq!(waiting.wake(), None);
            assert_eq!(names(&waiting.pass(vec![route("later", "s")], now)), ["later"]);
        }
    }

    #[test]
    fn what_does_not_come_is_waited_for_once() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.pass(vec![route("a", "s")], now);
        let later = now + PATIENCE / 2;
        waiting.pass(vec![route("b", "s"), route("a", "s")], later);
        assert_eq!(names(&waiting.pass(Vec::new(), now + PATIENCE)), ["a", "b"], "the first to wait ends it");
        assert_eq!(names(&waiting.pass(vec![route("c", "s")], now + PATIENCE)), ["c"]);
        // A Service without endpoints, too.
        waiting.pass(vec![service("s")], now + PATIENCE);
        waiting.pass(vec![route("d", "s")], now + PATIENCE);
        assert_eq!(names(&waiting.pass(Vec::new(), now + PATIENCE * 2)), ["d"]);
        assert_eq!(names(&waiting.pass(vec![route("e", "s")], now + PATIENCE * 2)), ["e"]);
    }

    #[test]
    fn a_route_that_changes_or_goes_while_it_waits_is_told_as_it_is_then() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.listed(&[service("there")]);
        waiting.pass(vec![route("r", "s"), route("gone", "s")], now);
        assert_eq!(waiting.pass(vec![route("r", "there")], now), [route("r", "there")]);
        let gone = event(Kind::HTTP_ROUTE, "gone", None);
        assert_eq!(waiting.pass(vec![gone.clone()], now), [gone]);
        assert_eq!(waiting.wake(), None);
        assert_eq!(waiting.pass(Vec::new(), now + PATIENCE), []);
    }

    #[test]
    fn other_backends_and_external_names_are_not_waited_for() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let spec = json!({"rules": [{"backendRefs": [{"group": "example.com", "kind": "Bucket", "name": "b"}]}, {}]});
        let other = event(Kind::HTTP_ROUTE, "r", Some(json!({"spec": spec})));
        assert_eq!(names(&waiting.pass(vec![other], now)), ["r"]);
        let external = event(Kind::SERVICE, "e", Some(json!({"spec": {"type": "ExternalName"}})));
        assert_eq!(names(&waiting.pass(vec![external, route("x", "e")], now)), ["e", "x"]);
        assert_eq!(
            names(&waiting.pass(vec![event(Kind::HTTP_ROUTE, "bad", Some(json!({"spec": 1})))], now)),
            ["bad"]
        );
    }
}
