//! The tonic shell: delta ADS, and a clear refusal of every other method.

mod codec;
mod stream;
mod tls;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
};
use tokio_rustls::rustls::ServerConfig;
use tonic::{
    Request, Status, Streaming,
    body::Body,
    codegen::{
        Service,
        tokio_stream::wrappers::{ReceiverStream, UnixListenerStream},
    },
    server::{Grpc, StreamingService},
    transport::server::TcpIncoming,
};

use crate::{auth::Authenticate, distributor::Distributor, xds::Response};

const DELTA_ADS: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/// How much a peer may send before it must wait: requests of reconnecting proxies are large.
const WINDOW: u32 = 4 << 20;
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long connections may take to end in order when the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// Where proxies connect.
#[derive(Debug)]
pub enum Listener {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A TCP socket with mutual TLS; the configuration must demand a client certificate.
    Tls(TcpListener, watch::Receiver<Arc<ServerConfig>>),
    /// A Unix socket.
    Unix(UnixListener),
}

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener failed.
    #[error("the xDS server failed: {0}; check its address and restart")]
    Transport(#[from] tonic::transport::Error),
}

impl Distributor {
    /// Serves proxies until `shutdown` resolves; then ends the streams and returns within about a second,
    /// whatever the proxies do.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn serve(
        self,
        listener: Listener,
        auth: Arc<dyn Authenticate>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let (stop, stopped) = watch::channel(false);
        let ads = Ads { distributor: self, auth, stopped };
        let stopping = wait(stop.subscribe());
        let server = async {
            let builder = tonic::transport::Server::builder()
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .http2_keepalive_interval(Some(KEEPALIVE));
            match listener {
                Listener::Tcp(socket) => {
                    let incoming = TcpIncoming::from(socket).with_nodelay(Some(true));
                    builder.serve_with_incoming_shutdown(ads, incoming, stopping).await
                }
                Listener::Tls(socket, config) => {
                    builder
                        .serve_with_incoming_shutdown(ads, tls::connections(socket, config), stopping)
                        .await
                }
                Listener::Unix(socket) => {
                    let incoming = UnixListenerStream::new(socket);
                    builder.serve_with_incoming_shutdown(ads, incoming, stopping).await
                }
            }
        };
        let patience = async {
            shutdown.await;
            let _ = stop.send(true);
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            served = server => Ok(served?),
            // A peer that does not read must not hold up the process.
            () = patience => Ok(()),
        }
    }
}

/// Resolves when the watched value is true or its sender is gone.
async fn wait(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

#[derive(Clone)]
struct Ads {
    distributor: Distributor,
    auth: Arc<dyn Authenticate>,
    stopped: watch::Receiver<bool>,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Service<http::Request<Body>> for Ads {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != DELTA_ADS {
            let status = Status::unimplemented(format!(
                "{} is not served: use delta ADS, that is api_type DELTA_GRPC in ads_config and ads: {{}} in every config source",
                request.uri().path()
            ));
            return Box::pin(async move { Ok(status.into_http()) });
        }
        let ads = self.clone();
        let limit = self.distributor.inner.options.max_request_bytes;
        Box::pin(async move {
            let mut grpc = Grpc::new(codec::DeltaCodec).max_decoding_message_size(limit);
            Ok(grpc.streaming(ads, request).await)
        })
    }
}

impl StreamingService<DeltaDiscoveryRequest> for Ads {
    type Response = Response;
    type ResponseStream = ReceiverStream<Result<Response, Status>>;
    type Future = Boxed<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<DeltaDiscoveryRequest>>) -> Self::Future {
        let ads = self.clone();
        Box::pin(async move { Box::pin(stream::open(ads, request)).await.map(tonic::Response::new) })
    }
}

/// One of the streams that are allowed at a time.
struct Slot(Distributor);

impl Slot {
    fn take(distributor: &Distributor) -> Result<Slot, Status> {
        let (streams, limit) = (&distributor.inner.streams, distributor.inner.options.max_streams);
        let slot = Slot(distributor.clone());
        crate::metrics::streams(1.0);
        if streams.fetch_add(1, Ordering::AcqRel) >= limit {
            return Err(Status::resource_exhausted(format!(
                "this server has its limit of {limit} streams; add a replica or raise the limit"
            )));
        }
        Ok(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.inner.streams.fetch_sub(1, Ordering::AcqRel);
        crate::metrics::streams(-1.0);
    }
}
