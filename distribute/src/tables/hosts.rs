//! The virtual hosts of a listener: what each of them serves, put together from the objects' routes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use lookup::{Leaf, hash};
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
    /// Routes of one first segment, by its hash.
    by_segment: BTreeMap<(u32, Place), Bytes>,
}

/// Which requests of a domain a change concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Touch {
    /// All of them.
    pub(super) all: bool,
    /// Those with a first segment of these hashes.
    pub(super) segments: Vec<u32>,
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
                    Some(hash) => drop(host.by_segment.remove(&(hash, place))),
                    None => drop(host.general.remove(&place)),
                }
                touch.add(entry);
            }
            for ((place, entry), body) in routes(route, after).zip(bodies(after)) {
                match entry {
                    Some(hash) => drop(host.by_segment.insert((hash, place), body)),
                    None => drop(host.general.insert(place, body)),
                }
                touch.add(entry);
            }
        }
        if host.header.is_none() && host.general.is_empty() && host.by_segment.is_empty() {
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
        let suffix = domain.strip_prefix('*');
        let Some(suffix) = suffix else {
            return if self.is_served(domain) { vec![domain.clone()] } else { Vec::new() };
        };
        let first = reversed(suffix);
        let covered = self.0.range::<[u8], _>((Bound::Included(first.as_slice()), Bound::Unbounded));
        covered
            .take_while(|(key, _)| key.starts_with(&first))
            .filter(|(_, (narrow, host))| match &host.header {
                Some(_) if narrow == domain => true,
                Some((_, Some(up_to))) => covers(up_to, domain),
                _ => false,
            })
            .map(|(_, (narrow, _))| narrow.clone())
            .collect()
    }

    /// Number of routes of a virtual host.
    pub(super) fn count(&self, domain: &str) -> usize {
        let hosts = self.level_hosts(domain);
        hosts.iter().map(|(_, host)| host.general.len() + host.by_segment.len()).sum()
    }

    /// The routes of a virtual host with a first segment in a part of the hash space.
    pub(super) fn load(&self, domain: &str, leaf: Leaf) -> Load {
        let mut load = Load::default();
        for (_, host) in self.level_hosts(domain) {
            if leaf == Leaf::ALL {
                // Not one by one: this is asked for with each change of a host.
                let ends = [host.by_segment.first_key_value(), host.by_segment.last_key_value()];
                ends.into_iter().flatten().for_each(|((hash, _), _)| load.add(*hash, 0));
                load.weight += host.by_segment.len();
            } else {
                segment_range(host, leaf).for_each(|((hash, _), _)| load.add(*hash, 1));
            }
        }
        load
    }

    /// True if the virtual host has the routes of a domain.
    pub(super) fn has_routes_of(&self, domain: &str, level: &str) -> bool {
        self.level_hosts(domain).iter().any(|(name, _)| *name == level)
    }

    /// Names of the objects' routes in a virtual host, with their domain: all, or those of a leaf.
    pub(super) fn members(&self, domain: &str, leaf: Leaf) -> Vec<(ArcStr, ArcStr)> {
        let mut members = Vec::new();
        for (level, host) in self.level_hosts(domain) {
            let segments = segment_range(host, leaf).map(|((_, place), _)| place);
            for place in host.general.keys().chain(segments) {
                members.push((level.clone(), place.route.clone()));
            }
        }
        members.sort_unstable();
        members.dedup();
        members
    }

    /// The virtual host with all its routes, or those that requests of a leaf need.
    pub(super) fn encode(&self, domain: &str, leaf: Leaf) -> Option<Vec<u8>> {
        let (header, _) = self.get(domain)?.header.as_ref()?;
        let mut body = header.to_vec();
        for (_, host) in self.level_hosts(domain) {
            let segments = segment_range(host, leaf).map(|((_, place), body)| (place, body));
            let mut routes: Vec<(&Place, &Bytes)> = host.general.iter().chain(segments).collect();
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

impl Touch {
    fn add(&mut self, segment: Option<u32>) {
        match segment {
            Some(hash) => self.segments.push(hash),
            None => self.all = true,
        }
    }

    pub(super) fn merge(&mut self, other: &Touch) {
        self.all |= other.all;
        self.segments.extend(&other.segments);
    }
}

fn segment_range(host: &Host, leaf: Leaf) -> impl Iterator<Item = (&(u32, Place), &Bytes)> {
    let least = |hash| {
        let nothing = Place {
            specificity: Reverse(u16::MAX),
            order: 0,
            created: ArcStr::new(),
            route: ArcStr::new(),
            index: 0,
        };
        (hash, nothing)
    };
    let end = leaf.end().checked_add(1).map_or(Bound::Unbounded, |end| Bound::Excluded(least(end)));
    host.by_segment.range((Bound::Included(least(leaf.start)), end))
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
) -> impl Iterator<Item = (Place, Option<u32>)> + 'a {
    let place = move |set: &RouteSet, (index, entry): (usize, &proto::RouteEntry)| {
        let place = Place {
            specificity: Reverse(set.specificity),
            order: entry.order,
            created: set.created.clone(),
            route: route.clone(),
            index: u32::try_from(index).unwrap_or(u32::MAX),
        };
        (place, entry.segment.as_ref().map(|segment| hash(segment.as_bytes())))
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
