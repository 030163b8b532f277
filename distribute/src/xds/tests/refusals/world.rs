//! A server, its proxies, and what must hold when they have come to rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proto::{Put, Revision, RouteEntry, RouteSet, Routing, XdsKey, XdsKind};

use super::{
    super::bench::{NoKeys, cluster_with, gateway, put},
    envoy::{Envoy, Words, contains},
    things::{CLUSTERS, Edit, LISTENERS, Quality, Thing},
};
use crate::{
    resource::ResourceType,
    scope::{Effect, Scope},
    xds::{Input, Mark, Notice, Output, Session, Touched},
};

/// More refusals than this for each piece and proxy do not happen before all is at rest.
const FACTOR: usize = 4;

struct Written {
    thing: Thing,
    quality: Quality,
    /// Unlike that of any other version.
    text: String,
    port: u8,
}

struct Proxy {
    envoy: Envoy,
    session: Session,
    changes: Vec<Touched>,
    /// What it had at the last rest, in whatever version.
    had: BTreeSet<Thing>,
    /// What was good and live at the last rest and has not been edited since: it stays, whatever others do.
    live: BTreeMap<Thing, String>,
}

pub(super) struct World {
    scope: Scope,
    table_size: usize,
    proxies: Vec<Proxy>,
    written: Vec<Written>,
    blamed: BTreeSet<XdsKey>,
    words: Words,
    /// True if the server has not been at rest yet.
    is_new: bool,
    versions: u32,
    revision: u64,
    now: Duration,
    /// Refusals since all was at rest.
    refused: usize,
}

impl Written {
    fn puts(&self) -> Vec<Put> {
        let put_as = |key: XdsKey| match self.thing {
            Thing::Cluster(_) => cluster_with(&key.name, &self.text),
            // The first byte is the port.
            Thing::Listener(_) => put(key.kind, &key.name, "", [&[self.port], self.text.as_bytes()].concat()),
            Thing::Routes(..) => routes(key, &self.text),
            Thing::Host(..) => {
                let mut host = put(key.kind, &key.name, &key.domain, self.text.clone().into_bytes());
                host.routing = Some(Routing::UpTo("*".into()));
                host
            }
            _ => put(key.kind, &key.name, &key.domain, self.text.clone().into_bytes()),
        };
        self.thing.keys().into_iter().map(put_as).collect()
    }

    fn is_refused(&self, envoy: &Envoy) -> bool {
        let blocked = matches!(self.thing, Thing::Listener(_)) && envoy.taken.contains(&self.port);
        blocked || matches!(self.quality, Quality::Bad | Quality::Malformed)
    }
}

impl World {
    pub(super) fn new(walks: &[bool], words: Words, table_size: usize) -> World {
        let proxy = |(index, walks): (usize, &bool)| Proxy {
            envoy: Envoy::new(*walks, words),
            session: session(*walks, index),
            changes: Vec::new(),
            had: BTreeSet::new(),
            live: BTreeMap::new(),
        };
        let mut world = World {
            scope: Scope::new(gateway(), table_size),
            table_size,
            proxies: walks.iter().enumerate().map(proxy).collect(),
            written: Vec::new(),
            blamed: BTreeSet::new(),
            words,
            is_new: false,
            versions: 0,
            revision: 0,
            now: Duration::ZERO,
            refused: 0,
        };
        let listeners = (0..LISTENERS).flat_map(|one| [Thing::Listener(one), Thing::Secret(one)]);
        let clusters = (0..CLUSTERS).flat_map(|one| [Thing::Cluster(one), Thing::Endpoints(one)]);
        let all: Vec<_> = listeners.chain(clusters).map(|thing| (thing, Quality::Good, 0)).collect();
        world.write(&all);
        for proxy in &mut world.proxies {
            proxy.envoy.connect();
        }
        world
    }

    /// One revision.
    pub(super) fn write(&mut self, edits: &[Edit]) {
        let (mut puts, removes) = self.edit(edits);
        if self.revision == 0 {
            puts.extend(headers());
        }
        self.publish(&puts, &removes);
    }

    fn edit(&mut self, edits: &[Edit]) -> (Vec<Put>, Vec<XdsKey>) {
        let (mut puts, mut removes) = (Vec::new(), Vec::new());
        for (index, (thing, quality, port)) in edits.iter().enumerate() {
            if edits[..index].iter().any(|(earlier, ..)| earlier == thing) {
                continue;
            }
            self.written.retain(|one| one.thing != *thing);
            let is_gone = *quality == Quality::Gone;
            for proxy in &mut self.proxies {
                proxy.live.retain(|one, _| one != thing && !(is_gone && one.hangs_on(*thing)));
            }
            for proxy in self.proxies.iter_mut().filter(|_| *quality == Quality::Gone) {
                proxy.had.remove(thing);
            }
            if *quality == Quality::Gone {
                removes.extend(thing.keys());
                continue;
            }
            if self.is_new && !self.is_told(*thing, *quality) {
                self.expect_gaps(|_| true);
            }
            if self.is_new {
                self.expect_lost(*thing, *quality);
            }
            self.versions += 1;
            let word = format!("{quality:?}").to_lowercase();
            let text = format!("{word} {} {};", thing.name(), self.versions);
            let written = Written { thing: *thing, quality: *quality, text, port: 100 + port };
            puts.extend(written.puts());
            self.written.push(written);
        }
        (puts, removes)
    }

    fn publish(&mut self, puts: &[Put], removes: &[XdsKey]) {
        self.revision += 1;
        let (puts, removes): (Vec<_>, Vec<_>) = (puts.iter().collect(), removes.iter().collect());
        let effect = self.scope.apply(Revision(self.revision), &puts, &removes);
        self.spread(effect);
    }

    fn spread(&mut self, effect: Effect) {
        self.blamed.retain(|key| !effect.healed.contains(key));
        let mark = Mark::at(self.scope.revision);
        let touched: Vec<Touched> = effect.touched.into_iter().map(|id| Touched { id, mark }).collect();
        self.proxies.iter_mut().for_each(|proxy| proxy.changes.extend(touched.iter().cloned()));
    }

    fn step(&mut self, proxy: usize, input: Input<'_>) {
        let one = &mut self.proxies[proxy];
        one.session.at(self.now);
        let changes = std::mem::take(&mut one.changes);
        let mut out: Output = one.session.step(Input::Changed(changes), &mut self.scope, &NoKeys);
        out.append(one.session.step(input, &mut self.scope, &NoKeys));
        one.envoy.unread.extend(out.responses);
        self.proxies.iter_mut().for_each(|proxy| proxy.changes.extend(out.touched.iter().cloned()));
        for notice in out.notices {
            match notice {
                Notice::PushNacked { .. } => self.refused += 1,
                Notice::Nacked { keys, .. } => self.blamed.extend(keys),
                Notice::Healed(keys) => self.blamed.retain(|key| !keys.contains(key)),
                _ => {}
            }
        }
    }

    /// The proxy reads a response.
    pub(super) fn read(&mut self, proxy: usize) {
        let index = proxy % self.proxies.len();
        let one = &mut self.proxies[index];
        one.envoy.read();
        for (thing, text) in &one.live {
            assert!(holds(&one.envoy, *thing, text), "{} is good and went", thing.name());
        }
    }

    /// The server reads a request.
    pub(super) fn receive(&mut self, proxy: usize) {
        let index = proxy % self.proxies.len();
        if let Some(request) = self.proxies[index].envoy.unsent.pop_front() {
            self.step(index, Input::Request(&request));
        }
    }

    /// The server tells a proxy what changed.
    pub(super) fn wake(&mut self, proxy: usize) {
        self.step(proxy % self.proxies.len(), Input::Changed(Vec::new()));
    }

    /// The stream breaks; `fresh`: because Envoy ended.
    pub(super) fn reconnect(&mut self, proxy: usize, fresh: bool) {
        let index = proxy % self.proxies.len();
        let effect = self.proxies[index].session.close(&mut self.scope);
        self.spread(effect);
        let words = self.words;
        let one = &mut self.proxies[index];
        one.session = session(one.envoy.walks, index);
        if fresh {
            let taken = std::mem::take(&mut one.envoy.taken);
            one.envoy = Envoy::new(one.envoy.walks, words);
            one.envoy.taken = taken;
            one.had.clear();
            one.live.clear();
        }
        one.changes.clear();
        one.envoy.connect();
    }

    /// The server starts anew, with nothing but what is written, and so do the Envoys.
    pub(super) fn restart_all(&mut self) {
        self.forget_all();
        for proxy in 0..self.proxies.len() {
            self.reconnect(proxy, true);
        }
        self.publish_all();
    }

    /// The server starts anew, and all has been edited meanwhile; the Envoys keep what they have. Not amid a refused
    /// push: of that they may have applied a part, and do not say so.
    pub(super) fn restart_server(&mut self, edits: &[Edit]) {
        self.settle();
        self.edit(edits);
        self.forget_all();
        for proxy in 0..self.proxies.len() {
            self.reconnect(proxy, false);
            // The server does not know any more what was good of a table with others.
            self.proxies[proxy].had.retain(|had| !had.is_in_table());
        }
        self.is_new = true;
        for (thing, quality) in self.written.iter().map(|one| (one.thing, one.quality)).collect::<Vec<_>>() {
            self.expect_lost(thing, quality);
        }
        // Tables to walk that are from before the restart change in any order: docs/route-tables.md.
        self.expect_gaps(|envoy| envoy.walks);
        if !self.written.iter().all(|one| self.is_told(one.thing, one.quality)) {
            self.expect_gaps(|_| true);
        }
        self.publish_all();
    }

    /// True if Envoy's words point to a thing, and to nothing else, if it is bad.
    fn is_told(&self, thing: Thing, quality: Quality) -> bool {
        match (quality, self.words) {
            (Quality::Good | Quality::Gone, _) => true,
            (Quality::Bad, Words::Text) => true,
            (Quality::Bad, Words::Position) => !matches!(thing, Thing::Routes(..)),
            _ => !thing.is_in_table(),
        }
    }

    /// A new server knows no good version of a bad host, so its routes go with it.
    fn expect_lost(&mut self, thing: Thing, quality: Quality) {
        if matches!(thing, Thing::Host(..)) && matches!(quality, Quality::Bad | Quality::Malformed) {
            self.proxies.iter_mut().for_each(|proxy| proxy.live.retain(|one, _| !one.hangs_on(thing)));
        }
    }

    /// A new server has to try hosts apart at Envoys that stayed, and is not told which is bad.
    fn expect_gaps(&mut self, at: impl Fn(&Envoy) -> bool) {
        for proxy in self.proxies.iter_mut().filter(|proxy| at(&proxy.envoy)) {
            proxy.live.retain(|thing, _| !thing.is_in_table());
        }
    }

    fn forget_all(&mut self) {
        self.scope = Scope::new(gateway(), self.table_size);
        self.blamed.clear();
        for (index, proxy) in self.proxies.iter_mut().enumerate() {
            proxy.session = session(proxy.envoy.walks, index);
        }
    }

    fn publish_all(&mut self) {
        let puts: Vec<Put> = headers().chain(self.written.iter().flat_map(Written::puts)).collect();
        self.publish(&puts, &[]);
    }

    /// A port is taken by another process, or free again.
    pub(super) fn take_port(&mut self, proxy: usize, port: u8, taken: bool) {
        let index = proxy % self.proxies.len();
        let envoy = &mut self.proxies[index].envoy;
        if !taken {
            envoy.taken.remove(&(100 + port));
        } else if !envoy.listens(100 + port) {
            envoy.taken.insert(100 + port);
        }
    }

    /// Lets everything come to rest, then looks whether all is as it should be.
    pub(super) fn settle(&mut self) {
        for _ in 0..2 {
            self.quiesce();
            self.now += Duration::from_secs(60);
            for proxy in 0..self.proxies.len() {
                self.step(proxy, Input::Retry);
            }
        }
        self.quiesce();
        self.check();
    }

    /// From now on the Envoys refuse so many of eight pushes for no reason.
    pub(super) fn refuse_at_random(&mut self, of_eight: u64) {
        for proxy in &mut self.proxies {
            proxy.envoy.at_random = of_eight;
            proxy.live.clear();
            proxy.had.clear();
        }
    }

    /// Time stands still until nothing goes out any more, then what was held back is tried once more.
    pub(super) fn rest(&mut self) {
        for _ in 0..3 {
            self.quiesce();
            self.now += Duration::from_secs(30);
            for proxy in 0..self.proxies.len() {
                self.step(proxy, Input::Retry);
            }
        }
        self.quiesce();
    }

    /// The server starts anew, the Envoys stay.
    pub(super) fn restart_at_random(&mut self) {
        self.forget_all();
        for proxy in 0..self.proxies.len() {
            self.reconnect(proxy, false);
        }
        self.publish_all();
        self.rest();
    }

    fn quiesce(&mut self) {
        for _ in 0..2000 {
            let mut idle = true;
            for proxy in 0..self.proxies.len() {
                let one = &self.proxies[proxy];
                idle &= one.envoy.unread.is_empty() && one.envoy.unsent.is_empty() && one.changes.is_empty();
                self.read(proxy);
                self.receive(proxy);
                self.wake(proxy);
            }
            let pieces = self.written.len() + 2 * usize::from(LISTENERS);
            let limit = FACTOR * pieces * self.proxies.len();
            assert!(self.refused < limit, "{} refusals of {pieces} pieces", self.refused);
            if idle {
                self.refused = 0;
                return;
            }
        }
        panic!("never at rest");
    }

    fn check(&mut self) {
        self.is_new = false;
        let (mut expected, mut asked_for) = (BTreeSet::new(), BTreeSet::new());
        for proxy in &mut self.proxies {
            let listeners = proxy.envoy.listeners();
            proxy.live.clear();
            for written in &self.written {
                if written.thing.needs().is_some_and(|user| !holds(&proxy.envoy, user, &user.mark())) {
                    // It does not ask for it.
                    proxy.had.remove(&written.thing);
                    continue;
                }
                asked_for.insert(written.thing);
                let refused = written.is_refused(&proxy.envoy);
                let is_live = holds(&proxy.envoy, written.thing, &written.text);
                let name = written.thing.name();
                if refused {
                    assert!(!is_live, "{name} is served, though it is bad");
                    let keys = written.thing.keys().into_iter();
                    expected.extend(keys.filter(|key| {
                        ResourceType::of(key.kind) == listeners
                            || !matches!(written.thing, Thing::Listener(_))
                    }));
                } else {
                    assert!(is_live, "{name} is good and not live: {}", written.text);
                    // What it hangs on may be on its way out.
                    let is_there = |user| self.written.iter().any(|one| one.thing == user);
                    if written.thing.needs().is_none_or(is_there) {
                        proxy.live.insert(written.thing, written.text.clone());
                    }
                }
                let stale = written.thing.mark();
                if proxy.had.contains(&written.thing) {
                    assert!(holds(&proxy.envoy, written.thing, &stale), "{name} has lost its good version");
                }
                if holds(&proxy.envoy, written.thing, &stale) {
                    proxy.had.insert(written.thing);
                }
            }
            if !proxy.envoy.names(listeners).is_empty() {
                assert_eq!(proxy.session.acked.0, self.revision, "something is owed for ever");
            }
        }
        let lacking: Vec<_> = expected.difference(&self.blamed).map(ToString::to_string).collect();
        assert!(lacking.is_empty(), "not blamed: {lacking:?}");
        let bad = |key: &XdsKey| {
            let of = |one: &Written| {
                // Nobody can tell that the new version of what nobody asks for is a good one.
                one.thing.keys().contains(key)
                    && (self.proxies.iter().any(|proxy| one.is_refused(&proxy.envoy))
                        || !asked_for.contains(&one.thing))
            };
            self.written.iter().any(of)
        };
        let innocent: Vec<_> = self.blamed.iter().filter(|key| !bad(key)).map(ToString::to_string).collect();
        assert!(innocent.is_empty(), "blamed without a reason: {innocent:?}");
    }
}

fn session(walks: bool, proxy: usize) -> Session {
    if walks { Session::walking() } else { Session::default() }.of_node(&proxy.to_string())
}

/// One route with a text in it.
fn routes(key: XdsKey, text: &str) -> Put {
    let entry = RouteEntry { order: 0, path: None, body: text.as_bytes().to_vec().into() };
    let set = RouteSet { specificity: 0, created: "".into(), entries: [entry].into() };
    let version = set.version();
    Put { version, routing: Some(Routing::Routes(set.into())), ..Put::new(key, Vec::new()) }
}

fn headers() -> impl Iterator<Item = Put> {
    (0..LISTENERS)
        .map(|table| put(XdsKind::RouteTable, &format!("t{table}"), "", format!("\x0a\x02t{table}")))
}

/// True if an Envoy works with a text of a thing.
fn holds(envoy: &Envoy, thing: Thing, text: &str) -> bool {
    let held = |kind, name: String| envoy.held.get(&(kind, name)).is_some_and(|body| contains(body, text));
    match thing {
        Thing::Cluster(index) => held(ResourceType::Cluster, format!("c{index}")),
        Thing::Endpoints(index) => held(ResourceType::Endpoints, format!("c{index}")),
        Thing::Secret(index) => held(ResourceType::Secret, format!("s{index}")),
        Thing::Listener(index) => held(envoy.listeners(), format!("l{index}")),
        Thing::Host(table, _) | Thing::Routes(table, ..) => envoy.held.iter().any(|((kind, name), body)| {
            *kind == ResourceType::Route && name.starts_with(&format!("t{table}")) && contains(body, text)
        }),
    }
}
