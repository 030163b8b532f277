//! Mutual TLS: a connection without a certificate of our authority ends in its handshake, whatever it asks for.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};
use tonic::{codegen::tokio_stream::wrappers::ReceiverStream, transport::server::Connected};

/// Handshakes at a time; more connections wait in the kernel's queue.
const HANDSHAKES: usize = 128;
/// A peer that is slower than this is not a proxy.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after the kernel has no descriptor for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// The certificate that a peer proved to hold, DER.
#[derive(Clone, Debug)]
pub(super) struct PeerCertificate(pub(super) Arc<[u8]>);

/// A connection whose peer is known.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    certificate: Option<PeerCertificate>,
}

/// The connections that a socket brings, each once its handshake is done. A new configuration counts for those that
/// come after it. Ends when the receiver is dropped.
pub(super) fn connections(
    socket: TcpListener,
    config: watch::Receiver<Arc<ServerConfig>>,
) -> ReceiverStream<io::Result<Connection>> {
    let (connections, incoming) = mpsc::channel(HANDSHAKES);
    tokio::spawn(accept(socket, config, connections));
    ReceiverStream::new(incoming)
}

async fn accept(
    socket: TcpListener,
    config: watch::Receiver<Arc<ServerConfig>>,
    connections: mpsc::Sender<io::Result<Connection>>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(handshake) = Arc::clone(&handshakes).acquire_owned().await else { return };
        let (stream, peer) = tokio::select! {
            () = connections.closed() => return,
            accepted = socket.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("xDS connections cannot be accepted: {error}; raise the limit of open files");
                    sleep(PAUSE).await;
                    continue;
                }
            },
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&config.borrow()));
        let connections = connections.clone();
        tokio::spawn(async move {
            let _handshake = handshake;
            match timeout(PATIENCE, shake_hands(acceptor, stream)).await {
                // Nobody is left to take it if the server stops.
                Ok(Ok(connection)) => drop(connections.send(Ok(connection)).await),
                Ok(Err(error)) => tracing::debug!("xDS connection from {peer} refused: {error}"),
                Err(_) => tracing::debug!("xDS connection from {peer} refused: no handshake in {PATIENCE:?}"),
            }
        });
    }
}

async fn shake_hands(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let chain = stream.get_ref().1.peer_certificates();
    let certificate = chain.and_then(|chain| chain.first()).map(|leaf| PeerCertificate(leaf.as_ref().into()));
    Ok(Connection { stream, certificate })
}

impl Connected for Connection {
    type ConnectInfo = Option<PeerCertificate>;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.certificate.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
