//! Which of several replicas writes statuses and deploys proxies: the holder of a Lease
//! (<https://kubernetes.io/docs/concepts/architecture/leases/>). All of them serve xDS.

use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::time::{now, rfc3339};

/// Name of the Lease.
const NAME: &str = "fleetgate";
/// How long a Lease holds that nobody renews.
const DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew it for so long leads no more.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two looks at it.
const RETRY: Duration = Duration::from_secs(2);

/// Where Leases are.
pub(super) fn leases(client: Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("coordination.k8s.io", "v1", "Lease");
    let api = ApiResource::from_gvk_with_plural(&kind, "leases");
    Api::namespaced_with(client, namespace, &api)
}

/// Now, as Leases have it.
pub(super) fn micro_time() -> String {
    rfc3339(now()).replace('Z', ".000000Z")
}

/// One replica that would lead.
pub(crate) struct Candidate {
    leases: Api<DynamicObject>,
    identity: String,
    /// The Lease's version as seen last, and since when. Clocks of others do not count.
    seen: Option<(String, Instant)>,
    renewed: Option<Instant>,
}

/// What to do about a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// It is ours.
    Renew,
    /// It is nobody's, or was not renewed.
    Take,
    /// Somebody else leads.
    Wait,
}

fn decide(spec: &Value, me: &str, unchanged: Duration) -> Move {
    match spec["holderIdentity"].as_str().unwrap_or_default() {
        holder if holder == me => Move::Renew,
        "" => Move::Take,
        _ => {
            let seconds = spec["leaseDurationSeconds"].as_u64().unwrap_or(DURATION.as_secs());
            if unchanged >= Duration::from_secs(seconds) { Move::Take } else { Move::Wait }
        }
    }
}

impl Candidate {
    /// A candidate with a name that no other replica has.
    pub(crate) fn new(client: Client, namespace: &str, identity: &str) -> Candidate {
        Candidate {
            leases: leases(client, namespace),
            identity: identity.to_owned(),
            seen: None,
            renewed: None,
        }
    }

    /// Says who leads, for as long as somebody wants to know.
    pub(crate) async fn run(mut self, leads: watch::Sender<bool>) {
        let mut told = None;
        while !leads.is_closed() {
            let problem = match self.try_once().await {
                Ok(()) => None,
                Err(error) => Some(error.to_string()),
            };
            if let Some(problem) = problem.as_ref().filter(|_| told != problem) {
                tracing::warn!("Lease {NAME} cannot be had: {problem}; it is tried again");
            }
            told = problem;
            let leading = self.renewed.is_some_and(|renewed| renewed.elapsed() < DEADLINE);
            if *leads.borrow() != leading {
                let what = if leading { "leads" } else { "does not lead any more" };
                tracing::info!("this replica, {}, {what}", self.identity);
                leads.send_replace(leading);
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn try_once(&mut self) -> kube::Result<()> {
        let Some(mut lease) = self.leases.get_opt(NAME).await? else {
            let made = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": NAME},
                "spec": self.spec(&Value::Null, Move::Take),
            });
            let made = serde_json::from_value(made).map_err(kube::Error::SerdeError)?;
            return self.won(self.leases.create(&PostParams::default(), &made).await);
        };
        let version = lease.resource_version().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => Instant::now(),
        };
        self.seen = Some((version, since));
        let step = decide(&lease.data["spec"], &self.identity, since.elapsed());
        if step == Move::Wait {
            self.renewed = None;
            return Ok(());
        }
        lease.data["spec"] = self.spec(&lease.data["spec"], step);
        // With its version: of two that try only one succeeds.
        self.won(self.leases.replace(NAME, &PostParams::default(), &lease).await)
    }

    fn won(&mut self, answer: kube::Result<DynamicObject>) -> kube::Result<()> {
        match answer {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                self.renewed = Some(Instant::now());
                Ok(())
            }
        }
    }

    fn spec(&self, before: &Value, step: Move) -> Value {
        let time = micro_time();
        let transitions = before["leaseTransitions"].as_i64().unwrap_or(0);
        let taken = step == Move::Take;
        json!({
            "holderIdentity": self.identity,
            "leaseDurationSeconds": DURATION.as_secs(),
            "acquireTime": if taken { time.clone().into() } else { before["acquireTime"].clone() },
            "renewTime": time,
            "leaseTransitions": transitions + i64::from(taken && !before.is_null()),
        })
    }
}

/// Gives the Lease back, so that another replica need not wait for its end.
pub(crate) async fn release(client: Client, namespace: &str, identity: &str) {
    let leases = leases(client, namespace);
    let Ok(Some(mut lease)) = leases.get_opt(NAME).await else { return };
    if lease.data["spec"]["holderIdentity"] != identity {
        return;
    }
    lease.data["spec"]["holderIdentity"] = "".into();
    if let Err(error) = leases.replace(NAME, &PostParams::default(), &lease).await {
        tracing::warn!("Lease {NAME} is not given back, and ends by itself: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{Move, decide};

    #[test]
    fn a_lease_is_taken_from_nobody_who_renews_it() {
        let held = |by: &str| json!({"holderIdentity": by, "leaseDurationSeconds": 15});
        let at = |by: &str, seconds| decide(&held(by), "me", Duration::from_secs(seconds));
        assert_eq!(at("me", 100), Move::Renew);
        assert_eq!(at("", 0), Move::Take);
        assert_eq!(at("other", 14), Move::Wait);
        assert_eq!(at("other", 15), Move::Take);
        assert_eq!(decide(&json!({}), "me", Duration::ZERO), Move::Take);
    }
}
