//! How many answers are under way at a time. An answer counts until its last byte has gone to the socket.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::answer::{Body, text};

/// Large answers at a time, how many more may wait for one, and how long.
const LARGE: usize = 8;
const WAITING: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);
/// Readers that follow the log.
pub(super) const FOLLOWERS: usize = 64;

/// The places.
pub(crate) struct Bounds {
    large: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    followers: Arc<Semaphore>,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            large: Arc::new(Semaphore::new(LARGE)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
        }
    }
}

impl Bounds {
    /// A place for a large answer.
    ///
    /// # Errors
    /// The answer to give instead.
    pub(super) async fn large(&self) -> Result<OwnedSemaphorePermit, Response<Body>> {
        let busy =
            || text(StatusCode::SERVICE_UNAVAILABLE, "too many large answers are under way: ask again\n");
        let _waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        let place = timeout(PATIENCE, Arc::clone(&self.large).acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or_else(busy)
    }

    /// A place for one who follows the log.
    ///
    /// # Errors
    /// The answer to give instead.
    #[expect(clippy::result_large_err, reason = "once a request")]
    pub(super) fn follower(&self) -> Result<OwnedSemaphorePermit, Response<Body>> {
        Arc::clone(&self.followers).try_acquire_owned().map_err(|_| {
            let problem =
                format!("{FOLLOWERS} readers follow the log already: end one, or ask without follow\n");
            text(StatusCode::SERVICE_UNAVAILABLE, problem)
        })
    }
}

/// The response, with something that is held until its body has gone.
pub(super) fn held(response: Response<Body>, held: impl Send + Sync + Unpin + 'static) -> Response<Body> {
    response.map(|body| Held { body, _held: held }.boxed())
}

struct Held<T> {
    body: Body,
    _held: T,
}

impl<T: Unpin> http_body::Body for Held<T> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
