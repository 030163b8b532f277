//! The proxies of one Gateway and what they have.

use std::collections::BTreeMap;

use proto::{Feedback, ResourceKey, Revision, XdsKey, XdsKind};
use serde_json::{Value, json};

use super::join::{Programming, Refusal, RefusedListeners};
use crate::time::rfc3339;

/// Proxies that are gone but still shown, at most.
const GONE: usize = 16;

/// What a Gateway's proxies have ACKed and refused.
#[derive(Debug, Default)]
pub(super) struct Gateway {
    /// The last revision that changed one of its resources.
    pub(super) touched: Revision,
    /// See [`Gateway::acked`].
    acked: Option<Revision>,
    proxies: BTreeMap<String, Proxy>,
    refused: BTreeMap<XdsKey, Refusal>,
}

#[derive(Debug, Default)]
struct Proxy {
    connected: bool,
    acked: Option<Revision>,
    nack: Option<Nack>,
    walks: bool,
    /// Why it is given whole route tables though it says that it walks.
    fallback: Option<String>,
}

#[derive(Debug)]
struct Nack {
    revision: Revision,
    at: i64,
    resources: Vec<String>,
    message: String,
}

impl Gateway {
    /// One whose proxies are told of it from a revision on.
    pub(super) fn served_from(revision: Revision) -> Gateway {
        Gateway { touched: revision, ..Gateway::default() }
    }

    /// The highest revision that any of its proxies ever ACKed.
    pub(super) fn acked(&self) -> Option<Revision> {
        self.acked
    }

    pub(super) fn feedback(&mut self, feedback: &Feedback, now: i64) {
        match feedback {
            Feedback::Connected { proxy, walks, .. } => {
                *self.proxies.entry(proxy.clone()).or_default() =
                    Proxy { connected: true, walks: *walks, ..Proxy::default() };
            }
            Feedback::FellBack { proxy, message, .. } => {
                if let Some(proxy) = self.proxies.get_mut(proxy) {
                    (proxy.walks, proxy.fallback) = (false, Some(message.clone()));
                }
            }
            Feedback::Disconnected { proxy, .. } => {
                if let Some(proxy) = self.proxies.get_mut(proxy) {
                    proxy.connected = false;
                }
                self.forget();
            }
            Feedback::Acked { proxy, revision, .. } => {
                self.acked = self.acked.max(Some(*revision));
                if let Some(proxy) = self.proxies.get_mut(proxy) {
                    proxy.acked = proxy.acked.max(Some(*revision));
                }
            }
            Feedback::Nacked { proxy, revision, keys, message, cause, .. } => {
                let refusal = Refusal { message: message.clone(), cause: *cause };
                self.refused.extend(keys.iter().map(|key| (key.clone(), refusal.clone())));
                let resources = keys.iter().map(ToString::to_string).collect();
                let nack = Nack { revision: *revision, at: now, resources, message: message.clone() };
                self.proxies.entry(proxy.clone()).or_default().nack = Some(nack);
            }
            Feedback::Healed { keys, .. } => {
                for key in keys {
                    self.refused.remove(key);
                }
            }
        }
    }

    fn forget(&mut self) {
        let gone: Vec<String> =
            self.proxies.iter().filter(|(_, proxy)| !proxy.connected).map(|(id, _)| id.clone()).collect();
        for id in gone.iter().take(gone.len().saturating_sub(GONE)) {
            self.proxies.remove(id);
        }
    }

    /// True if nothing but a status hangs on it.
    pub(super) fn is_unused(&self) -> bool {
        self.proxies.values().all(|proxy| !proxy.connected)
    }

    /// Whether a proxy has what the revision `needs` promised.
    pub(super) fn programming(&self, needs: Revision) -> Programming {
        match self.acked {
            Some(acked) if acked >= needs => Programming::Done,
            _ => Programming::Pending(format!("waiting for an Envoy to take revision {needs}")),
        }
    }

    /// What a proxy refuses of its listeners, and of its route tables as a whole.
    pub(super) fn refused_listeners(&self) -> RefusedListeners {
        let mut listeners = RefusedListeners::new();
        for (key, refusal) in &self.refused {
            let name = match key.kind {
                XdsKind::Listener | XdsKind::ScopedListener => key.name.clone(),
                XdsKind::RouteTable => proto::ArcStr::new(),
                _ => continue,
            };
            let what = if name.is_empty() { "the routes of" } else { "listener" };
            listeners.insert(name, refusal.problem(&format_args!("{what} {}", key.name)));
        }
        listeners
    }

    /// What is missing until its proxies have its newest resources.
    pub(super) fn missing(&self, needs_proxies: bool) -> Option<String> {
        let connected: Vec<&Proxy> = self.proxies.values().filter(|proxy| proxy.connected).collect();
        if connected.is_empty() {
            return needs_proxies.then(|| "no Envoy is connected".to_owned());
        }
        if !self.refused.is_empty() {
            let problems: Vec<String> =
                self.refused.iter().map(|(key, refusal)| refusal.problem(key)).collect();
            return Some(problems.join("; "));
        }
        let behind =
            connected.iter().filter(|proxy| proxy.acked.is_none_or(|acked| acked < self.touched)).count();
        (behind > 0).then(|| {
            format!("{behind} of {} Envoys have not ACKed revision {}", connected.len(), self.touched)
        })
    }

    /// Its proxies for `/status`.
    pub(super) fn proxies_json(&self, key: &ResourceKey) -> Vec<Value> {
        let nack = |nack: &Nack| {
            json!({
                "revision": nack.revision.0,
                "time": rfc3339(nack.at),
                "resources": nack.resources,
                "message": nack.message,
            })
        };
        let proxy = |(id, proxy): (&String, &Proxy)| {
            json!({
                "gateway": key.namespaced_name(),
                "id": id.as_str(),
                "connected": proxy.connected,
                "ackedRevision": proxy.acked.map(|revision| revision.0),
                "currentRevision": self.touched.0,
                "routeTables": {
                    "mode": if proxy.walks { "scoped" } else { "whole" },
                    "fallback": proxy.fallback,
                },
                "lastNack": proxy.nack.as_ref().map(nack),
                "refused": self.refused.keys().map(ToString::to_string).collect::<Vec<_>>(),
            })
        };
        self.proxies.iter().map(proxy).collect()
    }
}
