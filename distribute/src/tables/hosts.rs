//! The virtual hosts of a listener: what each of them serves, put together from the objects' routes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use lookup::{Leaf, MAX_SEGMENTS, hash};
use proto::{ArcStr, ContentHash, RouteSet, Routing};

use super::directory::Load;
use super::encode;
use crate::piece::Content;

/// Where a route stands among those of its domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    specificity: Reverse<u16>,
    order: u64,
    created: ArcStr,
    route: ArcStr,
    index: u32,
}

/// What is served of one domain.
#[derive(Debug, Default)]
struct Host {
    /// The virtual host without routes of objects, and how far it falls through.
    header: Option<(Bytes, Option<ArcStr>)>,
    /// Routes that may match any first segment.
    general: BTreeMap<Place, Bytes>,
    /// Routes of paths with the same first segments, by the hashes of these.
    by_path: BTreeMap<ByPath, Bytes>,
}

/// Hashes of the first segments of a path.
pub(super) type PathKey = Box<[u32]>;
/// What routes of paths are ordered by.
type ByPath = (PathKey, Place);

/// Those of a domain's routes that some paths may match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    /// Hashes of the segments with which the paths begin.
    pub(super) start: Vec<u32>,
    /// Hashes of the next segment.
    pub(super) next: Leaf,
    /// Without the routes of the one segment that all in this leaf are for: those have a directory of their own.
    pub(super) rest: bool,
}

/// Which requests of a domain a change concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Touch {
    /// All of them.
    pub(super) all: bool,
    /// Those with paths that begin so.
    pub(super) paths: Vec<PathKey>,
}

/// The domains, by their characters from the end: what a wildcard covers follows it.
#[derive(Debug, Default)]
pub(super) struct Hosts(BTreeMap<Vec<u8>, (ArcStr, Host)>);

impl Hosts {
    /// Puts what a piece now serves in place of what it served before.
    pub(super) fn change(
        &mut self,
        domain: &ArcStr,
        route: &ArcStr,
        before: Option<&Content>,
        after: Option<&Content>,
    ) -> Touch {
        let mut touch = Touch::default();
        let key = reversed(domain);
        let (_, host) = self.0.entry(key.clone()).or_insert_with(|| (domain.clone(), Host::default()));
        if route.is_empty() {
            host.header = after.map(header);
            touch.all = true;
        } else {
            for (place, entry) in routes(route, before) {
                match entry {
                    Some(path) => {
                        host.by_path.remove(&(path.clone(), place));
                        touch.paths.push(path);
                    }
                    None => {
                        host.general.remove(&place);
                        touch.all = true;
                    }
                }
            }
            for ((place, entry), body) in routes(route, after).zip(bodies(after)) {
                match entry {
                    Some(path) => {
                        host.by_path.insert((path.clone(), place), body);
                        touch.paths.push(path);
                    }
                    None => {
                        host.general.insert(place, body);
                        touch.all = true;
                    }
                }
            }
        }
        if host.header.is_none() && host.general.is_empty() && host.by_path.is_empty() {
            self.0.remove(&key);
        }
        touch
    }

    /// True if there is such a virtual host.
    pub(super) fn is_served(&self, domain: &str) -> bool {
        self.get(domain).is_some_and(|host| host.header.is_some())
    }

    /// Domains of all virtual hosts, in the order in which they are encoded.
    pub(super) fn served(&self) -> impl Iterator<Item = &ArcStr> {
        self.0.values().filter(|(_, host)| host.header.is_some()).map(|(domain, _)| domain)
    }

    /// Virtual hosts that have the routes of a domain, itself included.
    pub(super) fn with_routes_of(&self, domain: &ArcStr) -> Vec<ArcStr> {
        let Some(suffix) = domain.strip_prefix('*') else {
            return if self.is_served(domain) { vec![domain.clone()] } else { Vec::new() };
        };
        self.covered(domain, &reversed(suffix)).cloned().collect()
    }

    /// True if there is a virtual host that has the routes of a domain, or would have them.
    pub(super) fn has_place_for(&self, domain: &ArcStr) -> bool {
        match domain.strip_prefix('*') {
            None => self.is_served(domain),
            Some(suffix) => self.covered(domain, &reversed(suffix)).next().is_some(),
        }
    }

    /// Virtual hosts that have the routes of a wildcard, which begins so from its end.
    fn covered<'a>(&'a self, domain: &'a str, first: &'a [u8]) -> impl Iterator<Item = &'a ArcStr> {
        let covered = self.0.range::<[u8], _>((Bound::Included(first), Bound::Unbounded));
        covered
            .take_while(move |(key, _)| key.starts_with(first))
            .filter(move |(_, (narrow, host))| match &host.header {
                Some(_) if *narrow == domain => true,
                Some((_, Some(up_to))) => covers(up_to, domain),
                _ => false,
            })
            .map(|(_, (narrow, _))| narrow)
    }

    /// Number of routes of a virtual host.
    pub(super) fn count(&self, domain: &str) -> usize {
        let hosts = self.level_hosts(domain);
        hosts.iter().map(|(_, host)| host.general.len() + host.by_path.len()).sum()
    }

    /// Number of routes of a virtual host that are not for all paths, and true if some of them are for other
    /// paths than others.
    pub(super) fn paths(&self, domain: &str) -> (usize, bool) {
        let hosts = self.level_hosts(domain);
        let count = hosts.iter().map(|(_, host)| host.by_path.len()).sum();
        let ends = |host: &'_ Host| {
            [host.by_path.first_key_value(), host.by_path.last_key_value()]
                .map(|end| end.map(|((path, _), _)| path.clone()))
        };
        let mut ends = hosts.iter().flat_map(|(_, host)| ends(host)).flatten();
        let first = ends.next();
        (count, ends.any(|end| Some(end) != first))
    }

    /// The routes of a virtual host for paths that begin with these segments and one with a hash of the leaf. Not
    /// counted beyond `enough`: this is asked for with each change.
    pub(super) fn load(&self, domain: &str, start: &[u32], leaf: Leaf, enough: usize) -> Load {
        let mut load = Load::default();
        for (_, host) in self.level_hosts(domain) {
            let mut routes = host.by_path.range(range(start, leaf));
            let hash = |((path, _), _): (&(PathKey, Place), _)| path[start.len()];
            routes.next_back().into_iter().for_each(|last| load.add(hash(last), 1));
            let missing = enough.saturating_sub(load.weight);
            routes.take(missing.max(1)).for_each(|route| load.add(hash(route), 1));
        }
        load
    }

    /// True if the virtual host has the routes of a domain.
    pub(super) fn has_routes_of(&self, domain: &str, level: &str) -> bool {
        self.level_hosts(domain).iter().any(|(name, _)| *name == level)
    }

    /// Names of the objects' routes in a virtual host, with their domain: all, or those of a part.
    pub(super) fn members(&self, domain: &str, part: Option<&Part>) -> Vec<(ArcStr, ArcStr)> {
        let mut members = Vec::new();
        for (level, host) in self.level_hosts(domain) {
            members.extend(host.routes(part).map(|(place, _)| (level.clone(), place.route.clone())));
        }
        members.sort_unstable();
        members.dedup();
        members
    }

    /// The virtual host with all its routes, or those of a part.
    pub(super) fn encode(&self, domain: &str, part: Option<&Part>) -> Option<Vec<u8>> {
        let (header, _) = self.get(domain)?.header.as_ref()?;
        let mut body = header.to_vec();
        for (_, host) in self.level_hosts(domain) {
            let mut routes: Vec<(&Place, &Bytes)> = host.routes(part).collect();
            routes.sort_unstable_by_key(|(place, _)| *place);
            for (_, route) in routes {
                encode::append(encode::ROUTES, route, &mut body);
            }
        }
        Some(body)
    }

    /// The virtual host with one other route instead of its own.
    pub(super) fn encode_with(&self, domain: &str, route: &[u8]) -> Option<Vec<u8>> {
        let (header, _) = self.get(domain)?.header.as_ref()?;
        let mut body = header.to_vec();
        encode::append(encode::ROUTES, route, &mut body);
        Some(body)
    }

    fn get(&self, domain: &str) -> Option<&Host> {
        self.0.get(reversed(domain).as_slice()).map(|(_, host)| host)
    }

    fn level_hosts(&self, domain: &str) -> Vec<(&ArcStr, &Host)> {
        let mut key = reversed(domain);
        let Some((name, host)) = self.0.get(key.as_slice()) else { return Vec::new() };
        let mut levels = vec![(name, host)];
        let Some((_, Some(up_to))) = &host.header else { return levels };
        if key.ends_with(b".*") {
            key.truncate(key.len() - 2);
        }
        // The wider domains, narrow to wide: from the end, what is left before a dot, then a `*`.
        let mut at_end = up_to == name;
        while !at_end {
            key.truncate(key.iter().rposition(|&byte| byte == b'.').map_or(0, |dot| dot + 1));
            key.push(b'*');
            levels.extend(self.0.get(key.as_slice()).map(|(name, host)| (name, host)));
            at_end = key.len() == 1 || key.len() == up_to.len();
            key.truncate(key.len().saturating_sub(2));
        }
        levels
    }
}

impl Host {
    /// Its routes, or those of a part, in no particular order.
    fn routes<'a>(&'a self, part: Option<&'a Part>) -> Box<dyn Iterator<Item = (&'a Place, &'a Bytes)> + 'a> {
        let place = |((_, place), body): (&'a (PathKey, Place), &'a Bytes)| (place, body);
        let general = self.general.iter();
        let Some(part) = part else { return Box::new(general.chain(self.by_path.iter().map(place))) };
        // Paths that begin so may match routes of fewer segments, too.
        let shorter = (1..=part.start.len()).flat_map(move |count| {
            let path = &part.start[..count];
            let routes = self.by_path.range((Bound::Included(least(path)), Bound::Unbounded));
            routes.take_while(move |((key, _), _)| **key == *path).map(place)
        });
        let next = (!part.rest).then_some(part.next);
        let longer = next.into_iter().flat_map(move |leaf| self.by_path.range(range(&part.start, leaf)));
        Box::new(general.chain(shorter).chain(longer.map(place)))
    }
}

impl Touch {
    pub(super) fn merge(&mut self, other: &Touch) {
        self.all |= other.all;
        self.paths.extend(other.paths.iter().cloned());
    }
}

/// The keys that begin with these hashes and one of the leaf.
fn range(start: &[u32], leaf: Leaf) -> (Bound<ByPath>, Bound<ByPath>) {
    let first = [start, &[leaf.start]].concat();
    let mut after = [start, &[leaf.end()]].concat();
    let end = loop {
        let Some(last) = after.pop() else { break Bound::Unbounded };
        if let Some(next) = last.checked_add(1) {
            after.push(next);
            break Bound::Excluded(least(&after));
        }
    };
    (Bound::Included(least(&first)), end)
}

/// The least key with this path.
fn least(path: &[u32]) -> (PathKey, Place) {
    let nothing = Place {
        specificity: Reverse(u16::MAX),
        order: 0,
        created: ArcStr::new(),
        route: ArcStr::new(),
        index: 0,
    };
    (path.into(), nothing)
}

fn header(content: &Content) -> (Bytes, Option<ArcStr>) {
    let up_to = match &content.routing {
        Some(Routing::UpTo(domain)) => Some(domain.clone()),
        _ => None,
    };
    (content.body.clone(), up_to)
}

fn set(content: Option<&Content>) -> Option<&RouteSet> {
    match &content?.routing {
        Some(Routing::Routes(set)) => Some(set),
        _ => None,
    }
}

fn routes<'a>(
    route: &'a ArcStr,
    content: Option<&'a Content>,
) -> impl Iterator<Item = (Place, Option<PathKey>)> + 'a {
    let place = move |set: &RouteSet, (index, entry): (usize, &proto::RouteEntry)| {
        let place = Place {
            specificity: Reverse(set.specificity),
            order: entry.order,
            created: set.created.clone(),
            route: route.clone(),
            index: u32::try_from(index).unwrap_or(u32::MAX),
        };
        let hashes = |path: &ArcStr| lookup::segments(path.as_bytes()).take(MAX_SEGMENTS).map(hash).collect();
        (place, entry.path.as_ref().map(hashes))
    };
    set(content)
        .into_iter()
        .flat_map(move |set| set.entries.iter().enumerate().map(move |entry| place(set, entry)))
}

fn bodies(content: Option<&Content>) -> impl Iterator<Item = Bytes> + '_ {
    set(content).into_iter().flat_map(|set| set.entries.iter().map(|entry| entry.body.clone()))
}

/// True if every host of the second domain is one of the first.
fn covers(wide: &str, narrow: &str) -> bool {
    wide == narrow || lookup::wider(narrow).any(|one| one == wide)
}

/// What domains are ordered by: their characters from the end.
pub(super) fn reversed(domain: &str) -> Vec<u8> {
    domain.bytes().rev().collect()
}

/// Hash of a virtual host in its table.
pub(super) fn part(domain: &str, body: &[u8]) -> ContentHash {
    ContentHash::of_named(domain, body)
}
