//! One proxy's stream: moves messages between its connection and the session.

use std::sync::Arc;

use envoy_types::pb::envoy::{
    config::core::v3::{Node, node::UserAgentVersionType},
    service::discovery::v3::DeltaDiscoveryRequest,
};
use envoy_types::pb::google::protobuf::value::Kind;
use hyper::body::Incoming;
use proto::{Feedback, ResourceKey};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tonic::Status;

use super::{Ads, Caller, answer::Answer, aside, gate::Known, peers::Slot, requests::Requests, wait};
use crate::{
    auth::{Peer, bearer},
    distributor::{Distributor, Inbox, Shared, lock},
    metrics,
    registry::{LastNack, unix_seconds},
    xds::{Input, Mark, Notice, Output, Response, Session},
};

/// More than the pushes that can be unanswered at a time, one a type.
const QUEUE: usize = 8;
/// A request with more names than this is not taken on a thread that others wait for.
const MANY: usize = 4096;

/// Authenticates a new stream by its token or its connection's certificate, before anything of it is read; then
/// takes its first request and starts its session.
pub(super) async fn open(
    ads: Ads,
    caller: Caller,
    request: http::Request<Incoming>,
) -> Result<http::Response<Answer>, Status> {
    let peer = Peer { bearer_token: bearer(request.headers()), certificate: caller.certificate.as_deref() };
    let scope = ads.auth.scope(peer).map_err(|problem| {
        metrics::refused("unauthenticated");
        Status::unauthenticated(problem)
    })?;
    let options = ads.distributor.inner.options;
    let slot = Slot::take(&ads.distributor, &scope)?;
    let known = caller.seat.known();
    let mut requests = Requests::new(request.into_body(), slot, options);
    let first = tokio::select! {
        first = requests.next() => first?,
        () = wait(ads.stopped.clone()) => return Err(stopping()),
    };
    let first = first.ok_or_else(|| Status::invalid_argument("the stream ended before its first request"))?;
    let Some(node) = first.node.as_ref().filter(|node| !node.id.is_empty()) else {
        return Err(Status::invalid_argument(
            "the first request carries no node.id: set node.id in the bootstrap of the proxy",
        ));
    };
    let shared = ads.distributor.shared(&scope);
    let walks = walks(node);
    let (responses, queue) = mpsc::channel(QUEUE);
    let proxy = Proxy {
        inbox: shared.register(),
        id: node.id.clone(),
        version: envoy_version(node),
        distributor: ads.distributor,
        scope,
        shared,
        responses,
        session: if walks { Session::walking() } else { Session::default() }.of_node(&node.id),
        start: Instant::now(),
        _known: known,
    };
    tokio::spawn(proxy.run(first, requests, ads.stopped));
    Ok(Answer::streaming(queue))
}

struct Proxy {
    id: String,
    version: String,
    scope: ResourceKey,
    distributor: Distributor,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    responses: mpsc::Sender<Result<Response, Status>>,
    session: Session,
    /// When the clock of the session began.
    start: Instant,
    _known: Known,
}

impl Proxy {
    async fn run(mut self, first: DeltaDiscoveryRequest, requests: Requests, stopped: watch::Receiver<bool>) {
        let (distributor, scope, proxy) = (self.distributor.clone(), self.scope.clone(), self.id.clone());
        let version = std::mem::take(&mut self.version);
        if lock(&distributor.inner.registry).connected(&scope, &proxy, version, self.session.walks()) {
            let walks = self.session.walks();
            distributor.tell(Feedback::Connected { proxy: proxy.clone(), scope: scope.clone(), walks });
        }
        // Waiting for a proxy that does not read is cut short, too; then there is no room for the status.
        let end = tokio::select! {
            end = self.talk(first, requests) => end,
            () = wait(stopped) => Err(stopping()),
        };
        if let Err(status) = end {
            let _ = self.responses.try_send(Err(status));
        }
        self.close();
        if lock(&distributor.inner.registry).disconnected(&scope, &proxy) {
            distributor.tell(Feedback::Disconnected { proxy, scope });
        }
    }

    /// What this proxy alone refused is tried on others.
    fn close(&self) {
        let mut scope = lock(&self.shared.scope);
        let effect = self.session.close(&mut scope);
        let mark = Mark::at(scope.revision);
        self.distributor.spread(&self.scope, &self.shared, effect, mark);
    }

    /// # Errors
    /// The status that the stream ends with.
    async fn talk(&mut self, first: DeltaDiscoveryRequest, mut requests: Requests) -> Result<(), Status> {
        self.request(&first).await?;
        let patience = self.distributor.inner.options.cluster_timeout;
        let mut waiting: Option<Instant> = None;
        loop {
            let retry = self.session.next_retry().map(|at| self.start + at);
            let deadline = match self.session.waits() {
                true => *waiting.get_or_insert_with(|| Instant::now() + patience),
                false => {
                    waiting = None;
                    Instant::now() + patience
                }
            };
            tokio::select! {
                request = requests.next() => match request {
                    Ok(Some(request)) => self.request(&request).await?,
                    Ok(None) => return Ok(()),
                    Err(status) => return Err(status),
                },
                () = self.inbox.wake.notified() => {
                    self.step(Input::Changed(Vec::new())).await?;
                }
                () = sleep_until(deadline), if waiting.is_some() => {
                    waiting = None;
                    self.step(Input::Stalled).await?;
                }
                () = sleep_until(retry.unwrap_or(deadline)), if retry.is_some() => {
                    self.step(Input::Retry).await?;
                }
                () = self.responses.closed() => return Ok(()),
            }
        }
    }

    async fn request(&mut self, request: &DeltaDiscoveryRequest) -> Result<(), Status> {
        let limit = self.distributor.inner.options.max_subscriptions;
        let asked = request.resource_names_subscribe.len() + request.initial_resource_versions.len();
        if self.session.subscribed() > limit || asked > limit * 2 {
            return Err(Status::resource_exhausted(format!(
                "the stream subscribes to more than {limit} names; raise the limit or split the Gateway"
            )));
        }
        let output = aside(asked > MANY, || self.output(Input::Request(request)));
        self.send(output).await
    }

    async fn step(&mut self, input: Input<'_>) -> Result<(), Status> {
        let output = self.output(input);
        self.send(output).await
    }

    fn output(&mut self, input: Input<'_>) -> Output {
        let mut scope = lock(&self.shared.scope);
        let keys = self.distributor.inner.keys.as_ref();
        self.session.at(self.start.elapsed());
        // What changed in the scope comes first: the answer to the input is made of its newest state.
        let mut output = self.session.step(Input::Changed(self.inbox.take()), &mut scope, keys);
        let is_answer = matches!(&input, Input::Request(request) if !request.response_nonce.is_empty());
        output.append(self.session.step(input, &mut scope, keys));
        // After an answer it may be another proxy's turn to try what this one does not want.
        if !output.touched.is_empty() || is_answer && scope.has_trials() {
            self.shared.deliver(&output.touched);
        }
        output
    }

    async fn send(&mut self, output: Output) -> Result<(), Status> {
        let Output { responses, notices, .. } = output;
        for notice in notices {
            self.tell(notice);
        }
        for response in responses {
            let (bytes, resources) = (response.encoded_len(), response.resources.len() as u64);
            metrics::sent(&response, bytes);
            lock(&self.distributor.inner.registry).edit(&self.scope, &self.id, |state| {
                state.bytes_sent += bytes as u64;
                state.resources_sent += resources;
            });
            let gone = |_| Status::cancelled("the proxy closed the stream");
            self.responses.send(Ok(response)).await.map_err(gone)?;
        }
        Ok(())
    }

    fn tell(&self, notice: Notice) {
        let (proxy, scope) = (self.id.clone(), self.scope.clone());
        let edit = |edit: &mut dyn FnMut(&mut crate::ProxyState)| {
            lock(&self.distributor.inner.registry).edit(&self.scope, &self.id, edit);
        };
        match notice {
            Notice::FellBack(message) => {
                tracing::warn!(
                    "{proxy} of Gateway {} is given whole route tables: {message}",
                    scope.namespaced_name()
                );
                edit(&mut |state| state.route_tables = crate::RouteTablesMode::FellBack(message.clone()));
                self.distributor.tell(Feedback::FellBack { proxy, scope, message });
            }
            Notice::PushAcked { kind, observed } => metrics::acked(kind, observed),
            Notice::Healed(keys) => self.distributor.tell(Feedback::Healed { scope, keys }),
            Notice::Acked(revision) => {
                edit(&mut |state| state.acked = revision);
                self.distributor.tell(Feedback::Acked { proxy, scope, revision });
            }
            Notice::PushNacked { kind } => metrics::nacked(kind),
            Notice::Nacked { revision, keys, message, cause } => {
                let nack = LastNack {
                    revision,
                    keys: keys.clone(),
                    message: message.clone(),
                    unix_seconds: unix_seconds(),
                };
                edit(&mut |state| state.last_nack = Some(nack.clone()));
                self.distributor.tell(Feedback::Nacked { proxy, scope, revision, keys, message, cause });
            }
        }
    }
}

/// True if the proxy says that it has the module, in the version that this server makes tables for, and is an
/// Envoy that the module is made for: of another one's ABI, Envoy may only warn in its log.
fn walks(node: &Node) -> bool {
    let value = node.metadata.as_ref().and_then(|metadata| metadata.fields.get(lookup::METADATA_KEY));
    let says =
        value.is_some_and(|value| value.kind == Some(Kind::StringValue(lookup::MODULE_VERSION.to_owned())));
    let version = match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => build.version.as_ref(),
        _ => None,
    };
    says && version.is_none_or(|one| (one.major_number, one.minor_number) == lookup::ENVOY_VERSION)
}

fn stopping() -> Status {
    Status::unavailable("the server is stopping: reconnect")
}

fn envoy_version(node: &Node) -> String {
    match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentVersion(version)) => version.clone(),
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => build
            .version
            .as_ref()
            .map(|one| format!("{}.{}.{}", one.major_number, one.minor_number, one.patch))
            .unwrap_or_default(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::BuildVersion;
    use envoy_types::pb::envoy::r#type::v3::SemanticVersion;
    use envoy_types::pb::google::protobuf::{Struct, Value};

    use super::{Kind, Node, UserAgentVersionType, walks};

    fn node(module: Option<&str>, minor: Option<u32>) -> Node {
        let field = |value: &str| {
            let value = Value { kind: Some(Kind::StringValue(value.to_owned())) };
            Struct { fields: [(lookup::METADATA_KEY.to_owned(), value)].into() }
        };
        let build = |minor_number| {
            let version = Some(SemanticVersion { major_number: 1, minor_number, patch: 0 });
            UserAgentVersionType::UserAgentBuildVersion(BuildVersion { version, ..BuildVersion::default() })
        };
        Node { metadata: module.map(field), user_agent_version_type: minor.map(build), ..Node::default() }
    }

    #[test]
    fn only_envoys_of_the_modules_version_walk() {
        let version = Some(lookup::MODULE_VERSION);
        assert!(walks(&node(version, Some(40))) && walks(&node(version, None)));
        for other in [
            node(version, Some(39)),
            node(version, Some(41)),
            node(Some("0"), Some(40)),
            node(None, Some(40)),
        ] {
            assert!(!walks(&other), "{other:?}");
        }
    }
}
