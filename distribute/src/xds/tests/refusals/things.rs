//! What users write.

use proto::{XdsKey, XdsKind};

use super::super::bench::gateway;

/// Something that users write: a version, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thing {
    Cluster(u8),
    Endpoints(u8),
    Secret(u8),
    /// Each has a secret and a route table.
    Listener(u8),
    Host(u8, u8),
    /// An object's routes for a host, which is there without them, too.
    Routes(u8, u8, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quality {
    Good,
    Bad,
    /// So that Envoy drops the whole push and names nobody.
    Malformed,
    Gone,
}

const DOMAINS: [&str; 5] = ["x", "y", "z.y", "*.y", "*"];
pub(super) const LISTENERS: u8 = 2;
pub(super) const CLUSTERS: u8 = 3;
pub(super) const HOSTS: u8 = DOMAINS.len() as u8;
/// Objects with routes for a host.
pub(super) const ROUTES: u8 = 2;

/// A thing, and the port if it is a listener.
pub(super) type Edit = (Thing, Quality, u8);

impl Thing {
    pub(super) fn keys(self) -> Vec<XdsKey> {
        let key = |kind, name: String| XdsKey::new(gateway(), kind, name.as_str());
        match self {
            Thing::Cluster(index) => vec![key(XdsKind::Cluster, format!("c{index}"))],
            Thing::Endpoints(index) => vec![key(XdsKind::Endpoints, format!("c{index}"))],
            Thing::Secret(index) => vec![key(XdsKind::Secret, format!("s{index}"))],
            Thing::Listener(index) => {
                [XdsKind::Listener, XdsKind::ScopedListener].map(|kind| key(kind, format!("l{index}"))).into()
            }
            Thing::Host(table, host) => {
                vec![XdsKey::virtual_host(gateway(), format!("t{table}").as_str(), DOMAINS[host as usize])]
            }
            Thing::Routes(table, host, of) => {
                let (table, of) = (format!("t{table}"), format!("r{of}"));
                vec![XdsKey::routes(gateway(), table.as_str(), DOMAINS[host as usize], of.as_str())]
            }
        }
    }

    /// What goes with it.
    pub(super) fn needs(self) -> Option<Thing> {
        match self {
            Thing::Cluster(_) | Thing::Listener(_) => None,
            Thing::Endpoints(cluster) => Some(Thing::Cluster(cluster)),
            Thing::Secret(of) | Thing::Host(of, _) => Some(Thing::Listener(of)),
            Thing::Routes(table, host, _) => Some(Thing::Host(table, host)),
        }
    }

    /// True if it is not there without the other.
    pub(super) fn hangs_on(self, other: Thing) -> bool {
        self.needs().is_some_and(|one| one == other || one.hangs_on(other))
    }

    /// What any version of it has in it.
    pub(super) fn mark(self) -> String {
        format!(" {} ", self.name())
    }

    pub(super) fn is_in_table(self) -> bool {
        matches!(self, Thing::Host(..) | Thing::Routes(..))
    }

    pub(super) fn name(self) -> String {
        match self {
            Thing::Host(table, host) => format!("t{table}.{host}"),
            Thing::Routes(table, host, of) => format!("t{table}.{host}/r{of}"),
            one => format!("{}", one.keys()[0]),
        }
    }
}
