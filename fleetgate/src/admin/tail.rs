//! The end of the log for all who follow it: each event is read and written as JSON once, however many they are.

use std::sync::Arc;

use bytes::Bytes;
use proto::Revision;
use store::EventLog;
use tokio::sync::broadcast::{self, Receiver, Sender};

use super::events::lines;

/// Events of a page at the most, and pages that a reader may lag behind before it is cut.
const PAGE: usize = 64;
const PAGES: usize = 64;

/// Events after one revision, up to another, as lines.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) after: Revision,
    pub(super) last: Revision,
    pub(super) lines: Bytes,
}

/// Where followers get pages from.
#[derive(Clone)]
pub(crate) struct Tail(Sender<Page>);

impl Tail {
    /// Call [`Tail::run`] to fill it.
    pub(crate) fn new() -> Tail {
        Tail(Sender::new(PAGES))
    }

    pub(super) fn follow(&self) -> Receiver<Page> {
        self.0.subscribe()
    }

    /// Reads what the log takes until it is closed. Without a follower it reads nothing.
    pub(super) async fn run(self, log: Arc<dyn EventLog>) {
        let mut head = log.watch_head();
        let mut at = *head.borrow_and_update();
        while head.changed().await.is_ok() {
            let newest = *head.borrow_and_update();
            while at < newest {
                if self.0.receiver_count() == 0 {
                    at = newest;
                    break;
                }
                let page = match log.read(at, PAGE).await {
                    Ok(page) => page,
                    Err(error) => {
                        // Followers see the gap and read for themselves, with an error of their own.
                        tracing::debug!("reading the log for its followers after revision {at}: {error}");
                        at = newest;
                        break;
                    }
                };
                let Some((last, _)) = page.last() else { break };
                let last = *last;
                // Fails when the last follower has just gone.
                let _ = self.0.send(Page { after: at, last, lines: lines(&page) });
                at = last;
            }
        }
    }
}

/// What a follower finds in the broadcast.
pub(super) enum Next {
    /// A page.
    Page(Page),
    /// It is too far behind.
    Lagged,
    /// The log is closed.
    Closed,
}

pub(super) async fn next(pages: &mut Receiver<Page>) -> Next {
    match pages.recv().await {
        Ok(page) => Next::Page(page),
        Err(broadcast::error::RecvError::Lagged(_)) => Next::Lagged,
        Err(broadcast::error::RecvError::Closed) => Next::Closed,
    }
}
