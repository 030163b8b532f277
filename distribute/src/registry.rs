//! Which proxies there are and what they have.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use proto::{ResourceKey, Revision, XdsKey};

/// Disconnected proxies that are remembered.
const REMEMBERED: usize = 1000;

/// A proxy, connected or seen since the start.
#[derive(Clone, Debug)]
pub struct ProxyState {
    /// Its `node.id`.
    pub id: String,
    /// The Gateway that it serves.
    pub scope: ResourceKey,
    /// Its version, e.g. `1.40.0`; empty if it did not say.
    pub envoy_version: String,
    /// How it is given its routes.
    pub route_tables: RouteTablesMode,
    /// True if it has a stream open.
    pub connected: bool,
    /// Everything up to here it has ACKed.
    pub acked: Revision,
    /// The last revision that touched its scope.
    pub current: Revision,
    /// The last push that it refused.
    pub last_nack: Option<LastNack>,
    /// Bytes of all responses sent to it.
    pub bytes_sent: u64,
    /// Resources in all responses sent to it.
    pub resources_sent: u64,
}

/// How a proxy is given its routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RouteTablesMode {
    /// One table a listener (RDS): it does not have the module.
    #[default]
    Whole,
    /// Small tables that its module walks (SRDS and RDS).
    Scoped,
    /// One table a listener, because it could not load the module; what it said.
    FellBack(String),
}

/// A refused push.
#[derive(Clone, Debug)]
pub struct LastNack {
    /// The scope's revision when it was pushed.
    pub revision: Revision,
    /// The pieces to blame; empty while that is not known.
    pub keys: Vec<XdsKey>,
    /// What the proxy said.
    pub message: String,
    /// When, in seconds since the Unix epoch.
    pub unix_seconds: u64,
}

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) state: ProxyState,
    streams: usize,
    last_seen: u64,
}

/// The proxies by scope and id.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    proxies: BTreeMap<(ResourceKey, String), Record>,
}

impl Registry {
    /// A stream began; true if it is the proxy's only one.
    pub(crate) fn connected(
        &mut self,
        scope: &ResourceKey,
        id: &str,
        envoy_version: String,
        walks: bool,
    ) -> bool {
        let record = self.proxies.entry((scope.clone(), id.to_owned())).or_insert_with(|| Record {
            state: ProxyState {
                id: id.to_owned(),
                scope: scope.clone(),
                envoy_version: String::new(),
                route_tables: RouteTablesMode::Whole,
                connected: true,
                acked: Revision::NONE,
                current: Revision::NONE,
                last_nack: None,
                bytes_sent: 0,
                resources_sent: 0,
            },
            streams: 0,
            last_seen: 0,
        });
        record.state.envoy_version = envoy_version;
        record.state.route_tables = if walks { RouteTablesMode::Scoped } else { RouteTablesMode::Whole };
        record.state.connected = true;
        record.streams += 1;
        record.streams == 1
    }

    /// A stream ended; true if it was the proxy's last.
    pub(crate) fn disconnected(&mut self, scope: &ResourceKey, id: &str) -> bool {
        let Some(record) = self.proxies.get_mut(&(scope.clone(), id.to_owned())) else { return false };
        record.streams = record.streams.saturating_sub(1);
        record.state.connected = record.streams > 0;
        record.last_seen = unix_seconds();
        let gone = !record.state.connected;
        self.forget_oldest();
        gone
    }

    pub(crate) fn edit(&mut self, scope: &ResourceKey, id: &str, edit: impl FnOnce(&mut ProxyState)) {
        if let Some(record) = self.proxies.get_mut(&(scope.clone(), id.to_owned())) {
            edit(&mut record.state);
        }
    }

    /// Revisions begin anew: what was ACKed before says nothing.
    pub(crate) fn forget_acked(&mut self, scope: &ResourceKey) {
        let of_scope = self.proxies.iter_mut().filter(|((of, _), _)| of == scope);
        of_scope.for_each(|(_, record)| record.state.acked = Revision::NONE);
    }

    pub(crate) fn states(&self) -> Vec<ProxyState> {
        self.proxies.values().map(|record| record.state.clone()).collect()
    }

    fn forget_oldest(&mut self) {
        let idle = self.proxies.iter().filter(|(_, record)| record.streams == 0);
        if idle.clone().count() > REMEMBERED
            && let Some((key, _)) = idle.min_by_key(|(_, record)| record.last_seen)
        {
            let key = key.clone();
            self.proxies.remove(&key);
        }
    }
}

pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
