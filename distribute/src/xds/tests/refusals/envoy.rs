//! A model of how Envoy takes pushes: what it applies, refuses, ignores and asks for, and in which order it says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use envoy_types::pb::{envoy::service::discovery::v3::DeltaDiscoveryRequest, google::rpc::Status};
use proto::ContentHash;

use super::words;
use crate::{
    resource::ResourceType::{self, Cluster, Endpoints, Listener, Route, Scope, ScopedListener, Secret},
    xds::Response,
};

/// What of its configuration Envoy repeats when it refuses a route table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Words {
    Nothing,
    /// The text of the bad host, or of its bad routes.
    Text,
    /// Where it is in its table.
    Position,
    /// A text that good hosts have as well.
    Common,
    /// Where it is, after a dump of the whole table.
    Dump,
    /// Nonsense that follows from this number: wrong places, names of others, nothing.
    Noise(u64),
}

type Named<T> = BTreeMap<(ResourceType, String), T>;

pub(super) struct Envoy {
    pub(super) walks: bool,
    words: Words,
    /// What it works with.
    pub(super) held: Named<Vec<u8>>,
    /// What it says that it has when it reconnects: a refused push changes nothing of it, though parts of it
    /// may have been applied.
    versions: Named<ContentHash>,
    subscribed: BTreeSet<(ResourceType, String)>,
    opened: BTreeSet<ResourceType>,
    pub(super) unread: VecDeque<Response>,
    pub(super) unsent: VecDeque<DeltaDiscoveryRequest>,
    /// Ports that another process holds.
    pub(super) taken: BTreeSet<u8>,
    /// Of eight pushes it refuses so many for no reason.
    pub(super) at_random: u64,
    turn: u64,
}

impl Envoy {
    pub(super) fn new(walks: bool, words: Words) -> Envoy {
        Envoy {
            walks,
            words,
            held: BTreeMap::new(),
            versions: BTreeMap::new(),
            subscribed: BTreeSet::new(),
            opened: BTreeSet::new(),
            unread: VecDeque::new(),
            unsent: VecDeque::new(),
            taken: BTreeSet::new(),
            at_random: 0,
            turn: 0,
        }
    }

    pub(super) fn listeners(&self) -> ResourceType {
        if self.walks { ScopedListener } else { Listener }
    }

    /// True if it has bound a port itself.
    pub(super) fn listens(&self, port: u8) -> bool {
        let listeners = self.held.iter().filter(|((kind, _), _)| *kind == self.listeners());
        listeners.into_iter().any(|(_, body)| body.first() == Some(&port))
    }

    pub(super) fn names(&self, kind: ResourceType) -> Vec<String> {
        self.held.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.clone()).collect()
    }

    /// A new stream: asks for all that it needs, and says what it has.
    pub(super) fn connect(&mut self) {
        self.unread.clear();
        self.unsent.clear();
        self.opened.insert(Cluster);
        self.opened.insert(self.listeners());
        for kind in self.opened.clone() {
            let subscribed = self.subscribed.iter().filter(|(of, _)| *of == kind);
            let versions = self.versions.iter().filter(|((of, _), _)| *of == kind);
            self.unsent.push_back(DeltaDiscoveryRequest {
                type_url: kind.url().into(),
                resource_names_subscribe: subscribed.map(|(_, name)| name.clone()).collect(),
                initial_resource_versions: versions
                    .map(|((_, name), version)| (name.clone(), version.to_string()))
                    .collect(),
                ..Default::default()
            });
        }
    }

    /// Takes the oldest response, asks for what follows from it, then answers.
    pub(super) fn read(&mut self) {
        let Some(response) = self.unread.pop_front() else { return };
        self.turn += 1;
        let kind = response.kind;
        let draw = ContentHash::of(format!("{} {:?}", self.turn, self.words).as_bytes()).0 % 8;
        let error = match kind {
            _ if draw < self.at_random.into() => {
                response.resources.first().map(|one| self.complain(&one.body, "t"))
            }
            Cluster | Listener | ScopedListener => self.apply_named(&response),
            _ => self.apply_watched(&response),
        };
        if error.is_none() {
            for one in &response.resources {
                if self.wants(kind, &one.name) {
                    self.versions.insert((kind, one.name.to_string()), one.version);
                }
            }
            for name in &response.removed {
                self.versions.remove(&(kind, name.to_string()));
            }
        }
        self.follow();
        self.unsent.push_back(DeltaDiscoveryRequest {
            type_url: kind.url().into(),
            response_nonce: response.nonce.to_string(),
            error_detail: error.map(|message| Status { message, ..Default::default() }),
            ..Default::default()
        });
    }

    fn wants(&self, kind: ResourceType, name: &str) -> bool {
        matches!(kind, Cluster | Listener | ScopedListener | Scope)
            || self.subscribed.contains(&(kind, name.to_owned()))
    }

    /// CDS and LDS: each resource alone, unless one is malformed.
    fn apply_named(&mut self, response: &Response) -> Option<String> {
        let (kind, mut errors) = (response.kind, Vec::new());
        if response.resources.iter().any(|one| contains(&one.body, "malformed")) {
            return Some("Proto constraint validation failed".into());
        }
        for name in &response.removed {
            self.held.remove(&(kind, name.to_string()));
        }
        for one in &response.resources {
            let port = one.body.first().copied().filter(|_| kind != Cluster);
            if contains(&one.body, "bad") {
                errors.push(format!("{}: it is bad", one.name));
            } else if let Some(port) = port.filter(|port| self.taken.contains(port)) {
                errors.push(format!("{}: cannot bind '0.0.0.0:{port}': Address already in use", one.name));
            } else {
                self.held.insert((kind, one.name.to_string()), one.body.to_vec());
            }
        }
        let what = if kind == Cluster { "cluster(s)" } else { "listener(s)" };
        (!errors.is_empty()).then(|| format!("Error adding/updating {what} {}\n", errors.join("\n")))
    }

    /// The other types: those who watch a name, one after the other in no order, up to the first that refuses.
    fn apply_watched(&mut self, response: &Response) -> Option<String> {
        let kind = response.kind;
        let mut watched: Vec<_> =
            response.resources.iter().filter(|one| self.wants(kind, &one.name)).collect();
        watched.sort_by_key(|one| ContentHash::of(format!("{}{}", one.name, self.turn).as_bytes()));
        if let Some(one) = watched.iter().find(|one| contains(&one.body, "malformed")) {
            return Some(match self.words {
                Words::Dump | Words::Noise(_) => self.complain(&one.body, "malformed"),
                _ => "Proto constraint validation failed".into(),
            });
        }
        for one in watched {
            if contains(&one.body, "bad") {
                return Some(self.complain(&one.body, "bad"));
            }
            self.held.insert((kind, one.name.to_string()), one.body.to_vec());
        }
        // It keeps a table that is removed: that goes with its listener or scope.
        for name in response.removed.iter().filter(|_| kind != Route) {
            self.held.remove(&(kind, name.to_string()));
        }
        None
    }

    fn complain(&self, body: &[u8], word: &str) -> String {
        let hosts = hosts(body);
        let bad = hosts.iter().position(|host| contains(host, word)).unwrap_or(0);
        match self.words {
            Words::Nothing => "no".into(),
            Words::Text => {
                let text = hosts.get(bad).map_or("", |host| std::str::from_utf8(host).unwrap());
                let from = text.find(word).unwrap_or(0);
                format!("Invalid regex '{}': no", text[from..].split_inclusive(';').next().unwrap_or(""))
            }
            Words::Position => {
                format!("ValidationError.VirtualHosts[{bad}]: embedded message failed validation")
            }
            Words::Common => {
                let text = hosts.get(bad).map_or("", |host| std::str::from_utf8(host).unwrap());
                // `t1.` of `bad t1.0 11;`
                format!("missing ): {}", text.split(' ').nth(1).map_or("", |name| &name[..3]))
            }
            Words::Dump => words::dump(&hosts, bad),
            Words::Noise(seed) => words::noise(&hosts, seed.wrapping_add(self.turn)),
        }
    }

    /// Subscribes to what it needs now, and no longer to what it does not.
    fn follow(&mut self) {
        let listeners = self.names(self.listeners());
        let mut needed: BTreeSet<(ResourceType, String)> =
            self.names(Cluster).into_iter().map(|name| (Endpoints, name)).collect();
        needed.extend(listeners.iter().map(|name| (Secret, name.replace('l', "s"))));
        if !self.walks {
            needed.extend(listeners.iter().map(|name| (Route, name.replace('l', "t"))));
        } else if !listeners.is_empty() && self.opened.insert(Scope) {
            self.unsent
                .push_back(DeltaDiscoveryRequest { type_url: Scope.url().into(), ..Default::default() });
        }
        if self.walks {
            needed.extend(self.names(Scope).into_iter().map(|name| (Route, name)));
        }
        for kind in [Endpoints, Secret, Route] {
            let of_kind = |set: &BTreeSet<(ResourceType, String)>,
                           other: &BTreeSet<(ResourceType, String)>| {
                let only = set.iter().filter(|one| one.0 == kind && !other.contains(*one));
                only.map(|(_, name)| name.clone()).collect::<Vec<_>>()
            };
            let (fresh, gone) = (of_kind(&needed, &self.subscribed), of_kind(&self.subscribed, &needed));
            for name in &gone {
                self.held.remove(&(kind, name.clone()));
                self.versions.remove(&(kind, name.clone()));
            }
            if !fresh.is_empty() || !gone.is_empty() {
                self.opened.insert(kind);
                self.unsent.push_back(DeltaDiscoveryRequest {
                    type_url: kind.url().into(),
                    resource_names_subscribe: fresh,
                    resource_names_unsubscribe: gone,
                    ..Default::default()
                });
            }
        }
        self.subscribed = needed;
    }
}

pub(super) fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The virtual hosts of an encoded table.
fn hosts(mut table: &[u8]) -> Vec<&[u8]> {
    let mut hosts = Vec::new();
    while let [tag, rest @ ..] = table {
        let mut rest = rest;
        let Ok(len) = prost::encoding::decode_varint(&mut rest) else { break };
        let (field, after) = rest.split_at((len as usize).min(rest.len()));
        if *tag == 0x12 {
            hosts.push(field);
        }
        table = after;
    }
    hosts
}
