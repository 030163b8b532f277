//! Which of several replicas writes statuses and deploys proxies: the holder of a Lease
//! (<https://kubernetes.io/docs/concepts/architecture/leases/>). All of them serve xDS.

use std::time::Duration;

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, PostParams, Preconditions};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::installation::Claim;
use super::pod::OwnPod;
use crate::time::{now, rfc3339};

/// Annotation of the Lease: the holder's pod, NAME/UID.
const POD: &str = "fleetgate.dev/pod";
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
    client: Client,
    namespace: String,
    claim: Claim,
    identity: String,
    /// None outside of a cluster.
    pod: Option<OwnPod>,
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

/// What the Lease says of its holder's pod.
fn pod_of(lease: &DynamicObject) -> Option<OwnPod> {
    OwnPod::read(lease.annotations().get(POD)?)
}

impl Candidate {
    /// A candidate with a name that no other replica has.
    pub(crate) fn new(
        client: Client,
        namespace: &str,
        claim: Claim,
        identity: &str,
        pod: Option<OwnPod>,
    ) -> Candidate {
        let (namespace, identity) = (namespace.to_owned(), identity.to_owned());
        Candidate { client, namespace, claim, identity, pod, seen: None, renewed: None }
    }

    fn leases(&self) -> Api<DynamicObject> {
        leases(self.client.clone(), &self.namespace)
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
                tracing::warn!("Lease {} cannot be had: {problem}; it is tried again", self.claim.lease);
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
        let Some(mut lease) = self.leases().get_opt(&self.claim.lease).await? else {
            let mut made = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self.claim.lease},
                "spec": self.spec(&Value::Null, Move::Take),
            });
            made["metadata"]["ownerReferences"] = json!(self.claim.owners);
            let mut made: DynamicObject = serde_json::from_value(made).map_err(kube::Error::SerdeError)?;
            self.describe(&mut made);
            return self.won(asked, self.leases().create(&PostParams::default(), &made).await);
        };
        let version = lease.resource_version().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => Instant::now(),
        };
        self.seen = Some((version, since));
        let mut step = decide(&lease.data["spec"], &self.identity, since.elapsed());
        if step == Move::Wait && self.is_holder_gone(&lease, since.elapsed()).await {
            step = Move::Take;
        }
        if step == Move::Wait {
            self.renewed = None;
            return Ok(());
        }
        lease.data["spec"] = self.spec(&lease.data["spec"], step);
        if step == Move::Take {
            lease.metadata.owner_references = Some(self.claim.owners.clone());
            self.describe(&mut lease);
        }
        // With its version: of two that try only one succeeds.
        self.won(asked, self.leases().replace(&self.claim.lease, &PostParams::default(), &lease).await)
    }

    /// True if the holder can renew it no more: its pod is gone, or was this one.
    async fn is_holder_gone(&self, lease: &DynamicObject, unchanged: Duration) -> bool {
        let Some(holder) = pod_of(lease) else { return false };
        if self.pod.as_ref() == Some(&holder) {
            // Of the processes of a container there is one at a time.
            return true;
        }
        if unchanged < RETRY {
            return false;
        }
        // Without an answer the Lease has to run out.
        let gone = holder.is_gone(&self.client, &self.namespace).await.unwrap_or(false);
        if gone {
            tracing::info!(
                "pod {} is gone, which held Lease {}: it is not waited for",
                holder.name,
                self.claim.lease
            );
        }
        gone
    }

    fn describe(&self, lease: &mut DynamicObject) {
        let annotations = lease.annotations_mut();
        annotations.extend(self.claim.annotations.clone());
        match &self.pod {
            Some(pod) => annotations.insert(POD.to_owned(), pod.written()),
            None => annotations.remove(POD),
        };
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

/// Gives the Lease back, so that another replica need not wait for its end. One that goes with no Deployment is deleted.
pub(crate) async fn release(client: Client, namespace: &str, claim: &Claim, identity: &str) {
    let given = timeout(PATIENCE, give_back(leases(client, namespace), claim, identity)).await;
    let problem = given.map_or_else(
        |_| Some("the API server does not answer".to_owned()),
        |given| given.err().map(|error| error.to_string()),
    );
    if let Some(problem) = problem {
        tracing::warn!("Lease {} is not given back, and ends by itself: {problem}", claim.lease);
    }
}

async fn give_back(leases: Api<DynamicObject>, claim: &Claim, identity: &str) -> kube::Result<()> {
    let Some(mut lease) = leases.get_opt(&claim.lease).await? else { return Ok(()) };
    if lease.data["spec"]["holderIdentity"] != identity {
        return Ok(());
    }
    if lease.owner_references().is_empty() {
        let preconditions = Preconditions { uid: lease.uid(), resource_version: lease.resource_version() };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        return leases.delete(&claim.lease, &parameters).await.map(drop);
    }
    lease.data["spec"]["holderIdentity"] = "".into();
    leases.replace(&claim.lease, &PostParams::default(), &lease).await.map(drop)
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

    use super::{Candidate, Claim, DEADLINE, DURATION, Move, RETRY, decide};
    use crate::kubernetes::pod::OwnPod;

    fn claim() -> Claim {
        Claim { lease: "fleetgate".to_owned(), ..Claim::default() }
    }

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
        tokio::spawn(Candidate::new(client, "default", claim(), "me", None).run(sender));
        leads.wait_for(|leads| *leads).await.unwrap();
        leads.wait_for(|leads| !leads).await.unwrap();
        assert!(asked.elapsed() <= DEADLINE + Duration::from_millis(1), "{:?}", asked.elapsed());
    }

    /// An API server with a Lease that nobody renews, whose holder's pod is `p/1`, and the uid of the pod of that name.
    fn abandoned(pod: Option<&'static str>) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let lease = json!({
                "metadata": {"name": "fleetgate", "resourceVersion": "1", "annotations": {"fleetgate.dev/pod": "p/1"}},
                "spec": {"holderIdentity": "other", "leaseDurationSeconds": DURATION.as_secs()},
            });
            let pod =
                pod.map(|uid| json!({"metadata": {"name": "p", "uid": uid}, "status": {"phase": "Running"}}));
            let answer = if request.uri().path().contains("/pods/") { pod } else { Some(lease) };
            let code = if answer.is_some() { 200 } else { 404 };
            let missing = json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"});
            let body = Body::from(answer.unwrap_or(missing).to_string().into_bytes());
            std::future::ready(Response::builder().status(code).body(body))
        });
        Client::new(service, "default")
    }

    /// How long a candidate in this pod waits for that Lease.
    async fn wait(pod: Option<&'static str>, own: Option<OwnPod>) -> Duration {
        let (sender, mut leads) = watch::channel(false);
        let asked = Instant::now();
        tokio::spawn(Candidate::new(abandoned(pod), "default", claim(), "me", own).run(sender));
        leads.wait_for(|leads| *leads).await.unwrap();
        asked.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_is_waited_for_unless_its_pod_is_gone() {
        let pod = |uid: &str| Some(OwnPod { name: "p".to_owned(), uid: uid.to_owned() });
        let soon = RETRY * 2;
        assert!(wait(Some("1"), None).await >= DURATION, "it may be there");
        assert!(wait(None, None).await <= soon, "gone");
        assert!(wait(Some("2"), None).await <= soon, "another one of its name");
        assert!(wait(Some("1"), pod("1")).await < RETRY, "its own, before");
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
