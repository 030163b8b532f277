//! Connections of the admin and health endpoints, on a runtime of their own: whoever asks, however often and however
//! slowly, takes no time of those who serve proxies.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use distribute::{Gate, Known, Seat, origin};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::{Sleep, sleep};

use super::answer::Body;
use super::bounds::held;

/// Connections that ask nothing, or have not asked yet. One more takes the place of the oldest of the address that has most.
const WAITING: usize = 256;
/// How long one may be so, and how long one that is answered may take nothing.
const PATIENCE: Duration = Duration::from_secs(10);
const STALLED: Duration = Duration::from_secs(30);
/// Bytes of a request: nobody has a use for more.
const REQUEST: usize = 16 << 10;
const HEADERS: usize = 64;
/// Threads that read the log or translate at a time.
const BLOCKING: usize = 4;
/// How long answers may hold up the end.
const END: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);

/// Threads beside those who serve proxies.
pub(crate) struct Aside(Option<Runtime>);

impl Aside {
    /// # Errors
    /// If there are no threads.
    pub(crate) fn new() -> anyhow::Result<Aside> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).max_blocking_threads(BLOCKING).thread_name("admin").enable_all();
        let runtime = builder.build();
        let runtime = runtime.context("no threads for the admin endpoint: raise the limit of threads")?;
        Ok(Aside(Some(runtime)))
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            drop(runtime.spawn(task));
        }
    }

    /// Ends what runs there, and waits until it has ended.
    pub(crate) async fn end(mut self) {
        if let Some(runtime) = self.0.take() {
            // An error would mean that it panicked: then it has ended, too.
            let _ = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(END)).await;
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Takes connections until it is dropped. `listener` may belong to another runtime.
pub(super) async fn accept<F>(
    listener: std::net::TcpListener,
    serve: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            return tracing::error!("the admin endpoint cannot be served: {error}; restart fleetgate");
        }
    };
    let gate = Gate::new(WAITING, crate::metrics::ADMIN_WAITING);
    let mut told = false;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                told = false;
                let seat = gate.enter(origin(address));
                tokio::spawn(connection(Stalling::new(stream), seat, serve.clone()));
            }
            Err(error) => {
                // Out of file descriptors, most likely: some will be free soon.
                if !told {
                    tracing::warn!("the admin endpoint cannot take a connection: {error}; it is tried again");
                }
                told = true;
                gate.make_room();
                sleep(PAUSE).await;
            }
        }
    }
}

async fn connection<F>(
    stream: Stalling<tokio::net::TcpStream>,
    seat: Arc<Seat>,
    serve: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let answering = Arc::clone(&seat);
    let service = service_fn(move |request| {
        let known: Known = answering.known();
        let answered = serve(request);
        async move { Ok::<_, Infallible>(held(answered.await, known)) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_header_size(REQUEST)
        .max_headers(HEADERS);
    {
        let served = pin!(builder.serve_connection(TokioIo::new(stream), service));
        // The client went away, or has to go: nobody is left to tell.
        tokio::select! {
            _ = served => {}
            _ = seat.unwelcome(PATIENCE) => {}
        }
    }
    seat.leave();
}

/// A stream of which writing fails if its peer takes nothing for too long.
struct Stalling<S> {
    stream: S,
    since: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalling<S> {
    fn new(stream: S) -> Self {
        Stalling { stream, since: None }
    }

    fn wrote<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.since = None;
            return written;
        }
        let since = self.since.get_or_insert_with(|| Box::pin(sleep(STALLED)));
        since.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
