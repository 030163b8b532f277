//! The watch of one resource, from the wait for its CRD on, and what it tells.

use std::time::Duration;

use kube::Client;
use kube::core::ApiResource;
use kube::runtime::watcher::DefaultBackoff;
use proto::{Event, ResourceKey};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Seen;
use super::announcement::Announcement;
use super::discovery::{Served, discover};
use super::objects::{Objects, Update};
use super::protocol::{Failure, Protocol};
use super::server::{Error, Refused};
use crate::kinds::Known;
use crate::{Limits, Place, SourceFault};

/// How often a CRD that is not there is looked for.
const RETURN_POLL: Duration = Duration::from_secs(5);

/// The longest pause between two attempts: a server that is back is not to wait for us.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long a resource with objects must be missing in what the server says before they are taken for deleted: a server
/// that has just started does not know of all CRDs yet.
const MISSING: Duration = Duration::from_secs(10);

/// One resource, of one namespace or of all.
pub(super) struct Scope {
    pub(super) known: &'static Known,
    pub(super) namespace: Option<String>,
}

impl Scope {
    /// True if an object belongs to it.
    pub(super) fn has(&self, key: &ResourceKey) -> bool {
        let name = if key.kind.is_cluster_scoped() { &key.name } else { &key.namespace };
        key.kind == self.known.kind && self.namespace.as_ref().is_none_or(|namespace| name == namespace)
    }
}

/// The watch of a [`Scope`].
pub(super) struct Watch {
    pub(super) number: usize,
    pub(super) scope: Scope,
    pub(super) client: Client,
    pub(super) limits: Limits,
    pub(super) objects: Objects,
    /// None if nobody asks whether it is served.
    pub(super) announcement: Option<Announcement>,
    pub(super) seen: Seen,
    pub(super) updates: mpsc::Sender<(usize, Update)>,
    pub(super) progress: Progress,
}

/// What a watch remembers from one request to the next.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) backoff: DefaultBackoff,
    listed: bool,
    /// What is wrong with the resource as such.
    fault: Option<SourceFault>,
    fault_changed: bool,
    /// Faults of objects, as told last.
    object_faults: Vec<SourceFault>,
}

/// Nobody listens any more.
pub(super) struct Ended;

/// How an exchange with the server ended.
pub(super) enum End {
    /// Ask again at once.
    Again,
    /// Ask again after a pause.
    Later(Option<Duration>),
    NotServed,
}

impl Watch {
    /// Watches until nobody listens.
    pub(super) async fn run(mut self) -> Result<(), Ended> {
        let updates = self.updates.clone();
        tokio::select! {
            ended = self.follow_for_ever() => ended,
            () = updates.closed() => Err(Ended),
        }
    }

    async fn follow_for_ever(&mut self) -> Result<(), Ended> {
        loop {
            let api = self.wait_until_served().await?;
            self.seen.serve(&self.scope.known.kind, Some(api.clone()));
            let news = self.announce(Some(&api));
            self.tell(news, false).await?;
            let (mut protocol, mut first) = (Protocol::new(), true);
            loop {
                match self.exchange(&api, &mut protocol).await? {
                    End::Again => {}
                    End::Later(pause) => self.pause(pause).await,
                    End::NotServed => break,
                }
                first = false;
            }
            if first {
                self.set_fault(Some(away("it lists the resource and answers 404 for it")));
                self.tell(Vec::new(), false).await?;
            }
            self.pause(None).await;
        }
    }

    /// Waits for a version that we understand.
    async fn wait_until_served(&mut self) -> Result<ApiResource, Ended> {
        let mut missed: Option<Instant> = None;
        loop {
            match discover(&self.client, self.scope.known).await {
                Ok(Served::As(api)) => return Ok(api),
                Ok(Served::Missing)
                    if !self.objects.is_empty()
                        && missed.get_or_insert_with(Instant::now).elapsed() < MISSING =>
                {
                    self.pause(None).await;
                    continue;
                }
                Ok(Served::Missing) => {
                    self.seen.serve(&self.scope.known.kind, None);
                    let mut events = self.announce(None);
                    events.extend(self.objects.clear());
                    let problem = "its CRD is not installed, so there are no such objects";
                    let remedy = "install the CRDs of the Gateway API; it is waited for";
                    let fault = (self.scope.known.resource(), problem.to_owned(), remedy.to_owned());
                    self.set_fault(Some(fault).filter(|_| !self.scope.known.optional));
                    self.tell(events, true).await?;
                }
                Ok(Served::Unknown(versions)) => {
                    missed = None;
                    let problem = format!(
                        "it is served in version {} only, and {} can be read",
                        versions.join(", "),
                        self.scope.known.versions.join(" or ")
                    );
                    let remedy =
                        "install CRDs that serve it, or another fleetgate; what was read before stays";
                    self.set_fault(Some((self.scope.known.resource(), problem, remedy.to_owned())));
                    let news = self.announce(None);
                    self.tell(news, true).await?;
                }
                Err(error) => {
                    let pause = self.failed(&error);
                    self.tell(Vec::new(), false).await?;
                    self.pause(pause).await;
                    continue;
                }
            }
            tokio::time::sleep(RETURN_POLL).await;
        }
    }

    fn announce(&mut self, api: Option<&ApiResource>) -> Vec<Event> {
        self.announcement.as_mut().and_then(|announcement| announcement.tell(api)).into_iter().collect()
    }

    pub(super) async fn fail(
        &mut self,
        failure: Failure,
        retry_after: Option<Duration>,
    ) -> Result<End, Ended> {
        match failure {
            Failure::Again => return Ok(End::Again),
            Failure::NotServed => return Ok(End::NotServed),
            Failure::Forbidden(message) => {
                let remedy = "give the service account of fleetgate the verbs list and watch on it";
                let problem = format!("it may not be read ({message})");
                self.set_fault(Some((self.scope.known.resource(), problem, remedy.to_owned())));
            }
            Failure::Later(problem) => self.set_fault(Some(away(&problem))),
        }
        self.tell(Vec::new(), false).await?;
        Ok(End::Later(retry_after))
    }

    pub(super) async fn lost(&mut self, problem: String) -> Result<End, Ended> {
        self.fail(Failure::Later(problem), None).await
    }

    fn failed(&mut self, error: &Error) -> Option<Duration> {
        match error {
            Error::Lost(problem) => {
                self.set_fault(Some(away(problem)));
                None
            }
            Error::Refused(Refused { code, message, retry_after }) => {
                self.set_fault(Some(away(&format!("it answered {code}: {message}"))));
                *retry_after
            }
        }
    }

    async fn pause(&mut self, at_least: Option<Duration>) {
        let pause = self.progress.backoff.next().unwrap_or(RETURN_POLL).min(LONGEST_PAUSE);
        tokio::time::sleep(pause.max(at_least.unwrap_or_default())).await;
    }

    /// The server answers.
    pub(super) fn well(&mut self) {
        self.set_fault(None);
    }

    pub(super) fn set_fault(&mut self, fault: Option<(String, String, String)>) {
        let fault = fault.map(|(resource, problem, remedy)| SourceFault {
            place: Place::Api(resource),
            object: None,
            field: String::new(),
            problem,
            remedy,
        });
        self.progress.fault_changed |= fault != self.progress.fault;
        self.progress.fault = fault;
    }

    /// Tells what there is to tell; waits while nobody takes it.
    pub(super) async fn tell(&mut self, events: Vec<Event>, listed: bool) -> Result<(), Ended> {
        self.objects.announce();
        let mut changed = std::mem::take(&mut self.progress.fault_changed);
        if let Some(faults) = self.objects.changed_faults() {
            self.progress.object_faults = faults;
            changed = true;
        }
        let faults = changed
            .then(|| self.progress.fault.iter().chain(&self.progress.object_faults).cloned().collect());
        let update = Update { events, faults, listed: listed && !self.progress.listed };
        self.progress.listed |= listed;
        if update.is_empty() {
            return Ok(());
        }
        self.updates.send((self.number, update)).await.map_err(|_| Ended)
    }
}

fn away(problem: &str) -> (String, String, String) {
    let remedy = "it is asked again and again; what was read before stays in effect";
    ("the API server".to_owned(), format!("it cannot be watched: {problem}"), remedy.to_owned())
}
