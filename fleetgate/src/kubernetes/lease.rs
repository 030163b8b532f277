//! Which of several replicas writes statuses and deploys proxies: the holder of a Lease
//! (<https://kubernetes.io/docs/concepts/architecture/leases/>). All of them serve xDS.

use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::time::{now, rfc3339};

/// Name of the Lease.
pub(super) const NAME: &str = "fleetgate";
/// How long a Lease holds that nobody renews.
const DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew it for so long leads no more.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two looks at it.
const RETRY: Duration = Duration::from_secs(2);
/// The longest that one look may take.
const PATIENCE: Duration = Duration::from_secs(5);

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
            let problem = match timeout(self.patience(), self.try_once()).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("the API server does not answer".to_owned()),
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
            tokio::time::sleep(RETRY.min(self.patience())).await;
        }
    }

    /// Who leads knows in time that it does so no more, however long an answer takes.
    fn patience(&self) -> Duration {
        let left = self.renewed.map(|renewed| DEADLINE.saturating_sub(renewed.elapsed()));
        left.filter(|left| !left.is_zero()).map_or(PATIENCE, |left| left.min(PATIENCE))
    }

    async fn try_once(&mut self) -> kube::Result<()> {
        // Others count from when the server has it, which may be long before its answer is here.
        let asked = Instant::now();
        let Some(mut lease) = self.leases.get_opt(NAME).await? else {
            let made = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": NAME},
                "spec": self.spec(&Value::Null, Move::Take),
            });
            let made = serde_json::from_value(made).map_err(kube::Error::SerdeError)?;
            return self.won(asked, self.leases.create(&PostParams::default(), &made).await);
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
        self.won(asked, self.leases.replace(NAME, &PostParams::default(), &lease).await)
    }

    fn won(&mut self, asked: Instant, answer: kube::Result<DynamicObject>) -> kube::Result<()> {
        match answer {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                self.renewed = Some(asked);
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
    let given = timeout(PATIENCE, give_back(leases(client, namespace), identity)).await;
    let problem = given.map_or_else(
        |_| Some("the API server does not answer".to_owned()),
        |given| given.err().map(|error| error.to_string()),
    );
    if let Some(problem) = problem {
        tracing::warn!("Lease {NAME} is not given back, and ends by itself: {problem}");
    }
}

async fn give_back(leases: Api<DynamicObject>, identity: &str) -> kube::Result<()> {
    let Some(mut lease) = leases.get_opt(NAME).await? else { return Ok(()) };
    if lease.data["spec"]["holderIdentity"] == identity {
        lease.data["spec"]["holderIdentity"] = "".into();
        leases.replace(NAME, &PostParams::default(), &lease).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tokio::sync::watch;
    use tokio::time::Instant;

    use super::{Candidate, DEADLINE, Move, decide};

    /// An API server that makes a Lease, says so after a while, and then is silent.
    fn silent_after_a_lease(answers_after: Duration) -> Client {
        let looked = Arc::new(AtomicBool::new(false));
        let service = tower::service_fn(move |request: Request<Body>| {
            let looked = looked.fetch_or(request.method() == http::Method::GET, Ordering::Relaxed);
            async move {
                let exists = request.method() == http::Method::POST;
                let answer: Value = if exists {
                    tokio::time::sleep(answers_after).await;
                    json!({"metadata": {"name": "fleetgate", "resourceVersion": "1"}, "spec": {}})
                } else if looked {
                    std::future::pending().await
                } else {
                    json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"})
                };
                let code = if exists { 201 } else { 404 };
                let body = Body::from(answer.to_string().into_bytes());
                Response::builder().status(code).body(body)
            }
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_gets_no_answer_leads_no_more_in_time() {
        let (sender, mut leads) = watch::channel(false);
        let asked = Instant::now();
        let client = silent_after_a_lease(Duration::from_secs(4));
        tokio::spawn(Candidate::new(client, "default", "me").run(sender));
        leads.wait_for(|leads| *leads).await.unwrap();
        leads.wait_for(|leads| !leads).await.unwrap();
        assert!(asked.elapsed() <= DEADLINE + Duration::from_millis(1), "{:?}", asked.elapsed());
    }

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
