//! An HTTP backend that answers with what it was asked, and remembers it.
//!
//! One port speaks HTTP/1.1, h2c with prior knowledge and WebSocket; with [`Options::tls`] the whole port
//! is TLS and ALPN offers `h2` and `http/1.1`. What a request can ask for:
//!
//! | request | answer |
//! |---|---|
//! | any path | 200 and an [`Echo`] as JSON |
//! | `/status/NNN` | that status code, with the echo |
//! | `?delay=150ms` | the same, later (`ms` or `s`, one minute at most) |
//! | `/retry/ID?succeedAfter=N&responseCode=503` | fails N times for each ID, then 200 |
//! | header `x-echo-set-header: a:b, c:d` | response headers `a: b` and `c: d` |
//! | `content-type: application/grpc` | the echo as one gRPC message, and `grpc-status: 0` in the trailers |
//! | `upgrade: websocket` | a WebSocket that sends each message back |
//! | `GET /_seen` | `{"seen": [Echo, ...]}`: the last requests, oldest first |

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

mod answer;
mod authorization;
mod echo;
mod grpc;
mod instructions;
mod memory;
mod tls;
mod websocket;

pub use authorization::Authorizer;
pub use echo::{Echo, TlsEcho};
pub use tls::TlsOptions;

use memory::Memory;

/// What a backend is called, and how it listens.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Shown as `pod` in each answer: tells one backend from another.
    pub name: String,
    /// Shown as `namespace`.
    pub namespace: String,
    /// Shown as `service`.
    pub service: String,
    /// Speak TLS only.
    pub tls: Option<TlsOptions>,
    /// How many requests are remembered; older ones are forgotten.
    pub remember: usize,
}

impl Options {
    /// A plain-text backend on a free loopback port.
    pub fn named(name: impl Into<String>) -> Self {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            name: name.into(),
            namespace: "default".to_owned(),
            service: String::new(),
            tls: None,
            remember: 1024,
        }
    }
}

/// Why a backend does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {source}; choose a free address")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate, key or client CA is unusable.
    #[error("{field} of the backend: {problem}; give PEM text")]
    Tls {
        /// Which of the inputs.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// A running backend; it stops, and its connections close, when this is dropped.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub addr: SocketAddr,
    memory: Arc<Memory>,
    accepting: JoinHandle<()>,
    finish: Arc<Notify>,
}

impl Backend {
    /// Starts a backend on the current tokio runtime.
    ///
    /// # Errors
    /// If the address cannot be bound or the TLS material cannot be read.
    pub async fn start(options: Options) -> Result<Backend, StartError> {
        let failed = |source| StartError::Listen { address: options.listen, source };
        let acceptor = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let memory = Arc::new(Memory::new(&options));
        let finish = Arc::new(Notify::new());
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&memory), Arc::clone(&finish)));
        Ok(Backend { addr, memory, accepting, finish })
    }

    /// The requests seen and still remembered, oldest first.
    pub fn seen(&self) -> Vec<Echo> {
        self.memory.seen()
    }

    /// Forgets the requests seen so far.
    pub fn forget(&self) {
        self.memory.forget();
    }

    /// Waits for a request that `wanted` accepts, among those seen already too: for mirrors, which arrive
    /// after their client has its answer. Waits for ever; put a timeout around it.
    pub async fn wait_for(&self, wanted: impl Fn(&Echo) -> bool) -> Echo {
        self.memory.wait_for(wanted).await
    }

    /// Stops, and returns once the port is closed.
    pub async fn close(mut self) {
        self.accepting.abort();
        // Cancelled is what it should be; there is nothing else to learn from the result.
        let _ = (&mut self.accepting).await;
    }

    /// Closes the port, serves on the connections that are there, and returns once their clients have closed them.
    pub async fn finish(mut self) {
        self.finish.notify_one();
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Takes connections until it is aborted, which ends them too: the set aborts what it holds; or until it is to finish.
async fn accept(
    listener: TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    memory: Arc<Memory>,
    finish: Arc<Notify>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            () = finish.notified() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, tls.clone(), Arc::clone(&memory)));
                }
                // Out of file descriptors: waiting for a connection to end is all that helps.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection. Its errors are its client's to see.
async fn connection(stream: TcpStream, tls: Option<tokio_rustls::TlsAcceptor>, memory: Arc<Memory>) {
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve(stream, None, memory).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                let peer = tls::peer(stream.get_ref().1);
                serve(stream, Some(peer), memory).await;
            }
        }
    }
}

async fn serve<S>(stream: S, tls: Option<TlsEcho>, memory: Arc<Memory>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer::answer(request, tls.clone(), Arc::clone(&memory)));
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}
