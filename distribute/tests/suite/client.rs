//! A small delta ADS client.

use std::{net::SocketAddr, time::Duration};

use distribute::ResourceType;
use envoy_types::pb::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{
            DeltaDiscoveryRequest, DeltaDiscoveryResponse,
            aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        },
    },
    google::rpc,
};
use tokio::sync::mpsc;
use tonic::{
    Request, Status, Streaming, codegen::tokio_stream::wrappers::ReceiverStream, transport::Channel,
};

use crate::bed::FOREVER;

/// Long enough for anything that is on its way.
const QUIET: Duration = Duration::from_millis(100);

pub(crate) type Ads = AggregatedDiscoveryServiceClient<Channel>;

pub(crate) async fn connect(server: SocketAddr) -> Ads {
    Ads::connect(format!("http://{server}")).await.unwrap().max_decoding_message_size(64 << 20)
}

/// A request with the token of a Gateway, or with none.
pub(crate) fn bearing<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

/// A proxy's stream.
pub(crate) struct Client {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
    node: Option<Node>,
}

impl Client {
    /// Opens a stream and asks for all clusters.
    pub(crate) async fn open(server: SocketAddr, token: Option<&str>) -> Result<Client, Status> {
        let (requests, stream) = mpsc::channel(64);
        let node = Node { id: "proxy-1".into(), ..Default::default() };
        let first = DeltaDiscoveryRequest {
            node: Some(node.clone()),
            type_url: ResourceType::Cluster.url().into(),
            ..Default::default()
        };
        requests.send(first).await.unwrap();
        let mut ads = connect(server).await;
        let stream = bearing(ReceiverStream::new(stream), token);
        let responses = ads.delta_aggregated_resources(stream).await?.into_inner();
        Ok(Client { requests, responses, node: Some(node) })
    }

    pub(crate) async fn send(&mut self, mut request: DeltaDiscoveryRequest) {
        request.node = self.node.take();
        self.requests.send(request).await.unwrap();
    }

    /// Subscribes to names; to none means to everything.
    pub(crate) async fn subscribe(&mut self, kind: ResourceType, names: &[&str]) {
        self.send(DeltaDiscoveryRequest {
            type_url: kind.url().into(),
            resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        })
        .await;
    }

    /// The next response.
    pub(crate) async fn next(&mut self) -> DeltaDiscoveryResponse {
        let message = tokio::time::timeout(FOREVER, self.responses.message()).await;
        message.expect("no response came").unwrap().expect("the stream ended")
    }

    /// How the stream ends.
    pub(crate) async fn end(&mut self) -> Status {
        tokio::time::timeout(FOREVER, self.responses.message()).await.expect("did not end").unwrap_err()
    }

    pub(crate) async fn ack(&mut self, response: &DeltaDiscoveryResponse) {
        self.answer(response, None).await;
    }

    /// Accepts a response, or refuses it with a message.
    pub(crate) async fn answer(&mut self, response: &DeltaDiscoveryResponse, refusal: Option<&str>) {
        self.send(DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: refusal
                .map(|message| rpc::Status { message: message.into(), ..Default::default() }),
            ..Default::default()
        })
        .await;
    }

    /// Takes the next response, ACKs it, and says what it was: `cds a,b -c`.
    pub(crate) async fn take(&mut self) -> String {
        let response = self.next().await;
        self.ack(&response).await;
        shown(&response)
    }

    /// Checks that nothing comes.
    pub(crate) async fn quiet(&mut self) {
        if let Ok(message) = tokio::time::timeout(QUIET, self.responses.message()).await {
            panic!("came: {}", message.map_or_else(|status| status.to_string(), |one| shown(&one.unwrap())));
        }
    }
}

pub(crate) fn shown(response: &DeltaDiscoveryResponse) -> String {
    let mut words = vec![ResourceType::from_url(&response.type_url).unwrap().label().to_owned()];
    words.extend(response.resources.iter().map(|one| one.name.clone()));
    words.extend(response.removed_resources.iter().map(|name| format!("-{name}")));
    words.join(" ")
}
