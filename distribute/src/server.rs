//! The shell around the sessions: delta ADS over HTTP/2, and a clear refusal of every other method.
//!
//! Limits come before trust: what a connection may cost before its peer is known is bounded by [`gate`] and
//! [`metered`], what a known peer's streams and requests may cost by [`peers`] and [`requests`].

mod answer;
mod connections;
mod decode;
mod frames;
pub(crate) mod gate;
mod metered;
mod peers;
mod requests;
mod stream;

use std::{convert::Infallible, future::Future, sync::Arc};

use hyper::body::Incoming;
use tokio::{
    net::{TcpListener, UnixListener},
    runtime::{Handle, RuntimeFlavor},
    sync::watch,
    task::block_in_place,
};
use tokio_rustls::rustls::ServerConfig;
use tonic::Status;

pub(crate) use self::peers::Peers;
use self::{answer::Answer, gate::Seat};
use crate::{auth::Authenticate, distributor::Distributor};

const DELTA_ADS: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

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

impl Distributor {
    /// Serves proxies until `shutdown` resolves; then ends the streams and returns within about a second,
    /// whatever the proxies do. A listener that cannot accept for a while, for want of file descriptors, is tried
    /// again.
    pub async fn serve(
        self,
        listener: Listener,
        auth: Arc<dyn Authenticate>,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let (stop, stopped) = watch::channel(false);
        let ads = Ads { distributor: self, auth, stopped };
        let stopping = async {
            shutdown.await;
            stop.send_replace(true);
        };
        tokio::join!(connections::serve(listener, ads), stopping);
    }
}

/// Resolves when the watched value is true or its sender is gone.
async fn wait(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Does what takes long; others that wait for this thread are given another.
fn aside<T>(takes_long: bool, work: impl FnOnce() -> T) -> T {
    let has_others = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if takes_long && has_others { block_in_place(work) } else { work() }
}

#[derive(Clone)]
struct Ads {
    distributor: Distributor,
    auth: Arc<dyn Authenticate>,
    stopped: watch::Receiver<bool>,
}

/// Where a stream comes from.
#[derive(Clone)]
struct Caller {
    seat: Arc<Seat>,
    /// The certificate that the peer proved to hold, DER.
    certificate: Option<Arc<[u8]>>,
}

impl Ads {
    async fn answer(
        self,
        caller: Caller,
        request: http::Request<Incoming>,
    ) -> Result<http::Response<Answer>, Infallible> {
        if request.uri().path() != DELTA_ADS {
            let status = Status::unimplemented(format!(
                "{} is not served: use delta ADS, that is api_type DELTA_GRPC in ads_config and ads: {{}} in every config source",
                request.uri().path()
            ));
            return Ok(status.into_http());
        }
        Ok(stream::open(self, caller, request).await.unwrap_or_else(Status::into_http))
    }
}
