//! The floor: what Envoy itself costs, measured with a control plane that does nothing.
//!
//! ```text
//! attached:  Envoy <──> floor <──> fleetgate     relays, and records what fleetgate sends
//! detached:  Envoy <──> floor                    sends the recorded bytes again, when told to
//! ```
//!
//! Whatever shape the resources have, the floor sends exactly the same; only the listener's port differs,
//! because two Envoys run side by side.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use envoy_types::pb::envoy::config::core::v3::{address, socket_address};
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::codegen::BoxStream;
use tonic::codegen::tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use crate::asked::Asked;
use crate::process::check_interrupt;

const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
/// A change has been recorded once nothing more came for so long.
const QUIET: Duration = Duration::from_millis(150);
const RECORD_LIMIT: Duration = Duration::from_secs(30);

/// All that one change made the control plane send, in order.
pub(crate) type Update = Vec<DeltaDiscoveryResponse>;
type Sent = Result<DeltaDiscoveryResponse, Status>;

/// A running floor server; it stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Floor {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
    /// Where Envoy must ask.
    pub(crate) port: u16,
}

#[derive(Debug)]
struct Shared {
    /// xDS address of the fleetgate that is recorded.
    upstream: SocketAddr,
    /// What the listener's port becomes.
    listener_port: u16,
    state: Mutex<State>,
    /// Ends the stream to fleetgate at once when it becomes true.
    detached: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    detached: bool,
    /// What a newly connected Envoy is answered while detached.
    base: Update,
    recorded: Update,
    last: Instant,
    to_envoy: Option<UnboundedSender<Sent>>,
    refusals: Vec<String>,
    nonce: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Floor {
    /// Starts one, attached to the fleetgate whose xDS port is `upstream`.
    ///
    /// # Errors
    /// If no port is free.
    pub(crate) async fn start(upstream: u16, listener_port: u16) -> anyhow::Result<Floor> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for the floor")?;
        let port = listener.local_addr().context("no address")?.port();
        let state = State {
            detached: false,
            base: Vec::new(),
            recorded: Vec::new(),
            last: Instant::now(),
            to_envoy: None,
            refusals: Vec::new(),
            nonce: 0,
        };
        let upstream = (Ipv4Addr::LOCALHOST, upstream).into();
        let shared = Arc::new(Shared {
            upstream,
            listener_port,
            state: Mutex::new(state),
            detached: watch::Sender::new(false),
        });
        let service = AggregatedDiscoveryServiceServer::new(Service(Arc::clone(&shared)));
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let serving = Server::builder().add_service(service.max_decoding_message_size(usize::MAX));
        let server = tokio::spawn(async move {
            // Ends with the process or by abort; a failed accept shows as an Envoy without routes.
            let _ = serving.serve_with_incoming(incoming).await;
        });
        Ok(Floor { shared, server, port })
    }

    /// Forgets what was recorded.
    pub(crate) fn start_recording(&self) {
        self.shared.state().recorded.clear();
    }

    /// What was sent since [`Floor::start_recording`], once it has been quiet for a moment.
    ///
    /// # Errors
    /// If nothing comes, or it does not become quiet.
    pub(crate) fn recording(&self) -> anyhow::Result<Update> {
        let until = Instant::now() + RECORD_LIMIT;
        loop {
            check_interrupt()?;
            {
                let mut state = self.shared.state();
                if !state.recorded.is_empty() && state.last.elapsed() > QUIET {
                    return Ok(std::mem::take(&mut state.recorded));
                }
            }
            if Instant::now() > until {
                bail!("a change did not reach the floor's Envoy within {} s", RECORD_LIMIT.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Leaves fleetgate; from now on only [`Floor::push`] sends. `base` answers an Envoy that connects anew.
    pub(crate) fn detach(&self, base: Update) {
        let mut state = self.shared.state();
        state.detached = true;
        state.base = base;
        drop(state);
        self.shared.detached.send_replace(true);
    }

    /// Sends an update; the caller clones it beforehand, so that copying is not measured.
    ///
    /// # Errors
    /// If Envoy is not connected, or has refused something.
    pub(crate) fn push(&self, update: Update) -> anyhow::Result<()> {
        let mut state = self.shared.state();
        if let Some(refusal) = state.refusals.first() {
            bail!("the floor's Envoy refused an update: {refusal}");
        }
        state.send(update)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl State {
    fn send(&mut self, update: Update) -> anyhow::Result<()> {
        for mut response in update {
            self.nonce += 1;
            response.nonce = format!("floor-{}", self.nonce);
            let to_envoy = self.to_envoy.as_ref().context("the floor's Envoy has not connected")?;
            to_envoy.send(Ok(response)).map_err(|_| anyhow::anyhow!("the floor's Envoy has left"))?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Service(Arc<Shared>);

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = BoxStream<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = UnboundedReceiverStream<Sent>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("the floor speaks delta xDS only"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let token = request.metadata().get("authorization").cloned();
        let (to_envoy, from_us) = unbounded_channel();
        let (to_fleetgate, from_envoy) = unbounded_channel();
        self.0.state().to_envoy = Some(to_envoy.clone());
        tokio::spawn(upward(Arc::clone(&self.0), request.into_inner(), to_fleetgate));
        if !self.0.state().detached {
            let shared = Arc::clone(&self.0);
            tokio::spawn(async move {
                if let Err(status) = downward(shared, token, from_envoy, to_envoy.clone()).await {
                    let _ = to_envoy.send(Err(status));
                }
            });
        }
        Ok(Response::new(UnboundedReceiverStream::new(from_us)))
    }
}

/// Envoy's requests: relayed while attached, then only read.
async fn upward(
    shared: Arc<Shared>,
    mut requests: Streaming<DeltaDiscoveryRequest>,
    to_fleetgate: UnboundedSender<DeltaDiscoveryRequest>,
) {
    let mut to_fleetgate = Some(to_fleetgate);
    let mut asked = Asked::default();
    while let Ok(Some(mut request)) = requests.message().await {
        let new = asked.note(&request);
        let mut state = shared.state();
        if let Some(error) = &request.error_detail {
            state.refusals.push(error.message.clone());
        }
        if state.detached {
            to_fleetgate = None;
            let answer = new.of(&state.base);
            // An Envoy that has gone meanwhile shows at the next push.
            let _ = state.send(answer);
            continue;
        }
        drop(state);
        if let Some(node) = &mut request.node {
            node.id.push_str("-floor");
        }
        if let Some(to_fleetgate) = &to_fleetgate {
            let _ = to_fleetgate.send(request);
        }
    }
}

/// Fleetgate's responses: relayed and recorded until detached.
async fn downward(
    shared: Arc<Shared>,
    token: Option<MetadataValue<Ascii>>,
    from_envoy: UnboundedReceiver<DeltaDiscoveryRequest>,
    to_envoy: UnboundedSender<Sent>,
) -> Result<(), Status> {
    let channel = connect(shared.upstream).await?;
    let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(usize::MAX);
    let mut request = Request::new(UnboundedReceiverStream::new(from_envoy));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token);
    }
    let mut detached = shared.detached.subscribe();
    let mut responses = client.delta_aggregated_resources(request).await?.into_inner();
    loop {
        let message = tokio::select! {
            biased;
            _ = detached.wait_for(|detached| *detached) => return Ok(()),
            message = responses.message() => message,
        };
        let Some(mut response) = message? else {
            return Err(Status::unavailable("fleetgate ended the stream"));
        };
        move_listeners(&mut response, shared.listener_port)?;
        {
            let mut state = shared.state();
            state.recorded.push(response.clone());
            state.last = Instant::now();
        }
        if to_envoy.send(Ok(response)).is_err() {
            return Ok(());
        }
    }
}

async fn connect(upstream: SocketAddr) -> Result<Channel, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{upstream}"));
    let endpoint = endpoint.map_err(|error| Status::internal(error.to_string()))?;
    endpoint.connect().await.map_err(|error| Status::unavailable(error.to_string()))
}

/// Gives all listeners in a response another port.
fn move_listeners(response: &mut DeltaDiscoveryResponse, port: u16) -> Result<(), Status> {
    if response.type_url != LISTENER {
        return Ok(());
    }
    for any in response.resources.iter_mut().filter_map(|resource| resource.resource.as_mut()) {
        let mut listener = Listener::decode(any.value.as_slice())
            .map_err(|error| Status::internal(format!("fleetgate sent a broken listener: {error}")))?;
        if let Some(address::Address::SocketAddress(address)) =
            listener.address.as_mut().and_then(|address| address.address.as_mut())
        {
            address.port_specifier = Some(socket_address::PortSpecifier::PortValue(port.into()));
        }
        any.value = listener.encode_to_vec();
    }
    Ok(())
}

/// Bytes of an update on the wire.
pub(crate) fn encoded_len(update: &Update) -> usize {
    update.iter().map(prost::Message::encoded_len).sum()
}

#[cfg(test)]
#[path = "floor_test.rs"]
mod tests;
