//! A log that somebody else writes, as batches.

use std::time::Duration;

use proto::Revision;
use store::EventLog;
use tokio::sync::{mpsc, watch};

use crate::Batch;
use crate::writer::stopped;

/// Events of one batch at most.
const PAGE: usize = 4096;
const RETRY: Duration = Duration::from_secs(1);

/// Sends what comes after a revision, until `stop` is true or nobody takes batches any more. A log that cannot be
/// read is tried again.
///
/// # Errors
/// [`store::Error::Compacted`] and [`store::Error::Ahead`]: the reader starts from the current state.
pub async fn follow(
    log: &dyn EventLog,
    mut after: Revision,
    batches: mpsc::Sender<Batch>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), store::Error> {
    let mut head = log.watch_head();
    // Read once whatever the head is: the log says whether it has this revision at all.
    let mut is_first = true;
    loop {
        // Looked at before the log is read: what comes in between wakes the next round.
        head.mark_unchanged();
        while std::mem::take(&mut is_first) || after < *head.borrow() {
            let page = match log.read(after, PAGE).await {
                Ok(page) => page,
                Err(error @ (store::Error::Compacted { .. } | store::Error::Ahead { .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(
                        "the log cannot be read after revision {after}, which is tried again: {error}"
                    );
                    tokio::time::sleep(RETRY).await;
                    is_first = true;
                    continue;
                }
            };
            let Some((revision, _)) = page.last() else { break };
            after = *revision;
            let events = page.into_iter().map(|(_, event)| event).collect();
            if batches.send(Batch { revision: after, events }).await.is_err() {
                return Ok(());
            }
        }
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return Ok(()),
            () = batches.closed() => return Ok(()),
            changed = head.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}
