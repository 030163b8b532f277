//! Connections: accepted, given a place, ended when they are unwelcome.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Ads, Caller, Listener,
    gate::{Gate, Origin, Seat, Unwelcome, origin},
    metered::Metered,
    wait,
};
use crate::metrics;

/// Streams of one connection: an Envoy opens one.
const STREAMS: u32 = 8;
/// Bytes that a peer may send on a connection before they are read.
const WINDOW: u32 = (64 << 10) - 1;
const FRAME: u32 = 16 << 10;
/// Headers of one request; a token is a few hundred bytes.
const HEADERS: u32 = 8 << 10;
/// Streams that a peer opened and reset before they were looked at.
const RESETS: usize = 20;
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(20);
/// How long connections may take to end in order when the server stops.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// Pause after the kernel has no descriptor for another connection, and how often that is told.
const PAUSE: Duration = Duration::from_millis(50);
const TOLD: Duration = Duration::from_secs(10);

/// A connection as it was accepted.
enum Accepted {
    Plain(TcpStream),
    Tls(TcpStream, TlsAcceptor),
    Unix(tokio::net::UnixStream),
}

/// Serves connections until the server is to stop; then ends them within about [`GRACE`].
pub(super) async fn serve(listener: Listener, ads: Ads) {
    let gate = Gate::new(ads.distributor.inner.options.max_unknown_connections, metrics::UNKNOWN);
    let mut connections = JoinSet::new();
    let mut told: Option<Instant> = None;
    let mut stopping = pin!(wait(ads.stopped.clone()));
    loop {
        let accepted = tokio::select! {
            () = &mut stopping => break,
            // Takes those that have ended out of the set.
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener) => accepted,
        };
        match accepted {
            Ok((accepted, origin)) => {
                let seat = gate.enter(origin);
                connections.spawn(connection(accepted, seat, ads.clone()));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if told.is_none_or(|told| told.elapsed() > TOLD) {
                    told = Some(Instant::now());
                    tracing::warn!(
                        "xDS connections cannot be accepted: {error}; raise the limit of open files"
                    );
                }
                gate.make_room();
                sleep(PAUSE).await;
            }
        }
    }
    // A peer that does not read must not hold up the process.
    let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
}

async fn accept(listener: &Listener) -> io::Result<(Accepted, Origin)> {
    let tcp = |(stream, address): (TcpStream, SocketAddr)| {
        stream.set_nodelay(true)?;
        io::Result::Ok((stream, origin(address)))
    };
    Ok(match listener {
        Listener::Tcp(socket) => {
            let (stream, origin) = tcp(socket.accept().await?)?;
            (Accepted::Plain(stream), origin)
        }
        Listener::Tls(socket, config) => {
            let (stream, origin) = tcp(socket.accept().await?)?;
            // A new configuration counts for connections that come after it.
            let acceptor = TlsAcceptor::from(Arc::clone(&config.borrow()));
            (Accepted::Tls(stream, acceptor), origin)
        }
        Listener::Unix(socket) => (Accepted::Unix(socket.accept().await?.0), None),
    })
}

async fn connection(accepted: Accepted, seat: Arc<Seat>, ads: Ads) {
    let patience = ads.distributor.inner.options.unknown_timeout;
    let unwelcome = {
        let served = served(accepted, Arc::clone(&seat), ads);
        tokio::select! {
            () = served => None,
            why = seat.unwelcome(patience) => Some(why),
        }
    };
    match unwelcome {
        None => {}
        Some(Unwelcome::Silent) => metrics::refused("silent_connection"),
        Some(Unwelcome::Crowded) => metrics::refused("crowded_out"),
    }
    seat.leave();
}

async fn served(accepted: Accepted, seat: Arc<Seat>, ads: Ads) {
    match accepted {
        Accepted::Plain(stream) => exchange(stream, Caller { seat, certificate: None }, ads).await,
        Accepted::Unix(stream) => exchange(stream, Caller { seat, certificate: None }, ads).await,
        Accepted::Tls(stream, acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => {
                let chain = stream.get_ref().1.peer_certificates();
                let certificate = chain.and_then(|chain| chain.first()).map(|leaf| leaf.as_ref().into());
                exchange(stream, Caller { seat, certificate }, ads).await;
            }
            Err(error) => {
                metrics::refused("handshake");
                tracing::debug!("an xDS connection is refused: {error}");
            }
        },
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, caller: Caller, ads: Ads) {
    let mut stopped = ads.stopped.clone();
    let stream = TokioIo::new(Metered::new(stream, Arc::clone(&caller.seat)));
    let service = service_fn(move |request| {
        let (ads, caller) = (ads.clone(), caller.clone());
        Box::pin(ads.answer(caller, request))
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADERS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_PATIENCE);
    let mut connection = pin!(builder.serve_connection(stream, service));
    let served = tokio::select! {
        served = &mut connection => served,
        () = async { let _ = stopped.wait_for(|stopped| *stopped).await; } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!("an xDS connection ended: {error}");
    }
}
