//! The loop: what is wanted and what is there come in, jobs go out, one at a time for each Gateway.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ingest::kubernetes::source::Seen;
use kube::Client;
use proto::{ProxySpec, ResourceKey, literal};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::apply::{Applied, Job, Outcome, delete_ours};
use super::owned::{Owned, Place, Told, places, watch};
use super::retry::Due;
use super::{Deployed, HANDOVER, Settings, is_system, names};
use crate::pki::Authority;

/// Gateways that are worked on at a time.
const AT_A_TIME: usize = 8;
/// An identity's renewal is looked for at least this often: timers do not count the time that a machine sleeps.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);

/// What should be there of a Gateway's proxies.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// All that they need.
    Managed(Arc<ProxySpec>),
    /// Nothing of ours, from this time on. What another installation has taken over meanwhile is not ours.
    Nothing(Instant),
}

impl Wanted {
    /// Of a Gateway that moved to another controller, whose proxies are not there yet.
    pub(crate) fn moved() -> Wanted {
        Wanted::Nothing(Instant::now() + HANDOVER)
    }
}

/// What the controller is asked to do.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// See to the proxies of a Gateway.
    Gateway(ResourceKey, Wanted),
    /// All Gateways are known: take away what is left of those that moved to another class while nobody led.
    Prune,
}

/// Says whether a Gateway is ours, or at least nobody else's.
pub(crate) type IsOurs = dyn Fn(&ResourceKey) -> bool + Send + Sync;

/// Takes what came of a Gateway's proxies.
pub(crate) type Tell = dyn Fn(&ResourceKey, Option<Deployed>) + Send + Sync;

/// What the controller works with.
pub(crate) struct Controller {
    /// To the API server.
    pub(crate) client: Client,
    /// The same for all proxies.
    pub(crate) settings: Settings,
    /// The namespaces that are watched; empty for all.
    pub(crate) namespaces: Vec<String>,
    /// Where the Gateways' uids are from.
    pub(crate) seen: Seen,
    /// Who signs the proxies' certificates.
    pub(crate) authorities: watch::Receiver<Arc<Authority>>,
    /// Is told what came of it; none if there is nothing of ours any more.
    pub(crate) tell: Box<Tell>,
    /// Counts from [`Ask::Prune`] on.
    pub(crate) is_ours: Box<IsOurs>,
}

struct State {
    controller: Controller,
    settings: Arc<Settings>,
    wanted: HashMap<ResourceKey, Wanted>,
    applied: HashMap<ResourceKey, Applied>,
    owned: Owned,
    listed: BTreeSet<Place>,
    /// [`Ask::Prune`] waits for all to be listed.
    prune: bool,
    due: Due,
    jobs: JoinSet<Option<Outcome>>,
    of: HashMap<Id, ResourceKey>,
}

/// Deploys what is wanted until nobody wants anything any more; what is there then stays.
pub(crate) async fn deploy(controller: Controller, mut asked: mpsc::Receiver<Ask>) {
    let (sender, mut told) = mpsc::channel(256);
    let mut watches = JoinSet::new();
    for place in places(&controller.namespaces) {
        let selector = names::all_of(&controller.settings);
        watches.spawn(watch(controller.client.clone(), place, selector, sender.clone()));
    }
    let mut authorities = controller.authorities.clone();
    let mut state = State::new(controller);
    loop {
        state.prune();
        state.start();
        let next = state.due.next().filter(|_| state.may_start());
        let wake = tokio::time::sleep_until(next.unwrap_or_else(|| Instant::now() + LOOK_AGAIN));
        tokio::select! {
            one = asked.recv() => match one {
                Some(Ask::Gateway(gateway, wanted)) => state.want(gateway, wanted),
                Some(Ask::Prune) => state.prune = true,
                None => return,
            },
            Some(one) = told.recv() => state.hear(one),
            Some(ended) = state.jobs.join_next_with_id() => state.end(ended),
            Ok(()) = authorities.changed() => {
                for gateway in state.wanted.keys() {
                    state.due.now(gateway.clone());
                }
            }
            () = wake => {}
        }
    }
}

impl State {
    fn new(controller: Controller) -> State {
        State {
            settings: Arc::new(controller.settings.clone()),
            controller,
            wanted: HashMap::new(),
            applied: HashMap::new(),
            owned: Owned::default(),
            listed: BTreeSet::new(),
            prune: false,
            due: Due::default(),
            jobs: JoinSet::new(),
            of: HashMap::new(),
        }
    }

    /// Before all is known that is there, everything would look as if it were missing.
    fn all_listed(&self) -> bool {
        self.listed.len() == places(&self.controller.namespaces).count()
    }

    fn may_start(&self) -> bool {
        self.all_listed() && self.due.under_way() < AT_A_TIME
    }

    /// Once: from then on each Gateway that moves away is told of.
    fn prune(&mut self) {
        if !self.prune || !self.all_listed() {
            return;
        }
        self.prune = false;
        let is_left = |gateway: &&ResourceKey| {
            !self.wanted.contains_key(*gateway)
                && !(self.controller.is_ours)(gateway)
                // One that is gone takes all with it.
                && self.controller.seen.get(gateway).is_some()
        };
        let left: Vec<ResourceKey> = self.owned.gateways().filter(is_left).cloned().collect();
        for gateway in left {
            tracing::info!(
                "{gateway} is not ours any more: its proxies are taken away in {} s",
                HANDOVER.as_secs()
            );
            self.want(gateway, Wanted::moved());
        }
    }

    fn want(&mut self, gateway: ResourceKey, wanted: Wanted) {
        if is_system(&gateway.namespace) {
            let refused = matches!(wanted, Wanted::Managed(_)).then(|| refused(&gateway.namespace));
            return (self.controller.tell)(&gateway, refused);
        }
        if let Wanted::Nothing(_) = wanted {
            (self.controller.tell)(&gateway, None);
        }
        self.wanted.insert(gateway.clone(), wanted);
        self.due.now(gateway);
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Listed(place) => {
                self.listed.insert(place);
            }
            Told::Change(change) => {
                if let Some(gateway) = self.owned.change(change)
                    && self.wanted.contains_key(&gateway)
                {
                    self.due.now(gateway);
                }
            }
        }
    }

    fn start(&mut self) {
        while self.may_start()
            && let Some(gateway) = self.due.take()
        {
            let objects = self.owned.of(&gateway);
            let uid = self.controller.seen.get(&gateway).map(|observed| observed.uid.to_string());
            let client = self.controller.client.clone();
            let handle = match (self.wanted.get(&gateway), uid) {
                (Some(Wanted::Managed(spec)), Some(uid)) => {
                    let job = Job {
                        client,
                        gateway: gateway.clone(),
                        uid,
                        spec: Arc::clone(spec),
                        settings: Arc::clone(&self.settings),
                        authority: Arc::clone(&self.controller.authorities.borrow()),
                        objects,
                        applied: self.applied.get(&gateway).cloned().unwrap_or_default(),
                    };
                    self.jobs.spawn(async move { Some(job.run().await) })
                }
                (Some(Wanted::Managed(_)), None) => {
                    // The source has not told of it yet, or tells of its end soon.
                    self.due.failed(gateway);
                    continue;
                }
                (Some(Wanted::Nothing(at)), Some(_)) if !objects.is_empty() && *at > Instant::now() => {
                    self.due.done(gateway, Some(*at));
                    continue;
                }
                (Some(Wanted::Nothing(_)), Some(_)) if !objects.is_empty() => {
                    let of = gateway.clone();
                    let settings = Arc::clone(&self.settings);
                    self.jobs.spawn(async move {
                        for (what, name) in objects.into_keys() {
                            if let Err(error) = delete_ours(&client, &of, what, &name, &settings).await {
                                tracing::warn!(
                                    "{of}: its {} {name} cannot be deleted: {error}",
                                    what.api().kind
                                );
                            }
                        }
                        None
                    })
                }
                // A Gateway that is gone takes all with it: it is their owner.
                _ => {
                    self.wanted.remove(&gateway);
                    self.applied.remove(&gateway);
                    self.due.done(gateway, None);
                    continue;
                }
            };
            self.of.insert(handle.id(), gateway);
        }
    }

    fn end(&mut self, ended: Result<(Id, Option<Outcome>), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => {
                tracing::error!(
                    "the deployment of proxies failed: {error}; this is a bug in fleetgate, report it"
                );
                let Some(gateway) = self.of.remove(&error.id()) else { return };
                return self.due.failed(gateway);
            }
        };
        let Some(gateway) = self.of.remove(&id) else { return };
        let Some(Outcome { applied, deployed, failed }) = outcome else {
            self.applied.remove(&gateway);
            return self.due.done(gateway, None);
        };
        let renew_at = applied.identity.as_ref().map(|identity| identity.renew_at);
        self.applied.insert(gateway.clone(), applied);
        if failed && let Some((_, message)) = &deployed.problem {
            tracing::warn!("{gateway}: its proxies: {message}; it is tried again");
        }
        if let Some(Wanted::Managed(_)) = self.wanted.get(&gateway) {
            (self.controller.tell)(&gateway, Some(deployed));
        }
        if failed {
            return self.due.failed(gateway);
        }
        let wait = renew_at.and_then(|at| at.duration_since(SystemTime::now()).ok()).unwrap_or_default();
        self.due.done(gateway, Some(Instant::now() + wait.clamp(Duration::from_secs(60), LOOK_AGAIN)));
    }
}

fn refused(namespace: &str) -> Deployed {
    let problem = format!(
        "no proxies are deployed in {namespace}, which belongs to Kubernetes itself: move the Gateway to a namespace of \
         your own, or run its proxies yourself (GatewayParameters with selfManaged)"
    );
    Deployed { problem: Some((literal!("Invalid"), problem)), ..Deployed::default() }
}

#[cfg(test)]
mod tests;
