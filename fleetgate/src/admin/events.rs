//! `/log`: events as JSON lines.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use proto::{Change, Event, Revision};
use serde_json::{Value, json};
use store::EventLog;
use tokio::sync::broadcast::Receiver;
use tokio::sync::oneshot;

use super::answer::{Body, text, typed};
use super::bounds::held;
use super::tail::{Next, Page, next};
use super::{Admin, Query};
use crate::time::rfc3339;

const PAGE: usize = 512;

/// Everything after `since`, or after the oldest event if that was compacted; with `follow` for ever.
pub(super) async fn answer(admin: &Admin, query: &Query<'_>) -> Response<Body> {
    let since = match query.revision("since") {
        Ok(since) => since.unwrap_or(Revision::NONE),
        Err(problem) => return text(StatusCode::BAD_REQUEST, problem),
    };
    let follow = query.get("follow").is_some_and(|value| value != "0");
    let place = if follow { admin.bounds.follower() } else { admin.bounds.large().await };
    let place = match place {
        Ok(place) => place,
        Err(refused) => return refused,
    };
    let tail = follow.then(|| admin.tail.follow());
    // The first page now, so that its error has a status of its own.
    let first = match admin.log.read(since, PAGE).await {
        Ok(page) => page,
        Err(error) => return text(StatusCode::GONE, format!("{error}\n")),
    };
    let (sender, body) = Channel::<Bytes, Infallible>::new(4);
    let (here, gone) = oneshot::channel::<()>();
    let log = Arc::clone(&admin.log);
    tokio::spawn(async move {
        tokio::select! {
            () = stream(log, since, first, tail, sender) => {}
            _ = gone => {}
        }
    });
    held(typed(StatusCode::OK, "application/jsonl", body.boxed()), (place, here))
}

async fn stream(
    log: Arc<dyn EventLog>,
    since: Revision,
    mut page: Vec<(Revision, Event)>,
    mut tail: Option<Receiver<Page>>,
    mut sender: Sender<Bytes>,
) {
    let mut at = since;
    loop {
        while let Some((last, _)) = page.last() {
            at = *last;
            // Fails when the client has gone.
            if sender.send_data(lines(&page)).await.is_err() {
                return;
            }
            page = match log.read(at, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!("reading the log for a client after revision {at}: {error}");
                    return;
                }
            };
        }
        let Some(tail) = &mut tail else { return };
        if !follow(tail, &mut at, &mut sender).await {
            return;
        }
        page = log.read(at, PAGE).await.unwrap_or_default();
        if page.is_empty() {
            return;
        }
    }
}

/// Passes on what the log takes; true if there is a gap, which has to be read from the log.
async fn follow(tail: &mut Receiver<Page>, at: &mut Revision, sender: &mut Sender<Bytes>) -> bool {
    loop {
        match next(tail).await {
            Next::Page(page) if page.last <= *at => {}
            Next::Page(page) if page.after == *at => {
                *at = page.last;
                if sender.send_data(page.lines).await.is_err() {
                    return false;
                }
            }
            Next::Page(_) => return true,
            Next::Lagged => {
                let error = format!(
                    "the reader is too slow and is cut after revision {at}: ask again with since={at}"
                );
                let line = json!({ "error": error }).to_string() + "\n";
                // The client may have gone.
                let _ = sender.send_data(line.into()).await;
                return false;
            }
            Next::Closed => return false,
        }
    }
}

pub(super) fn lines(page: &[(Revision, Event)]) -> Bytes {
    let mut lines = String::new();
    for (revision, event) in page {
        lines.push_str(&line(*revision, event).to_string());
        lines.push('\n');
    }
    lines.into()
}

fn line(revision: Revision, event: &Event) -> Value {
    let mut line = json!({
        "revision": revision.0,
        "observed": rfc3339(event.observed_unix_nanos),
        "observedUnixNanos": event.observed_unix_nanos,
        "cluster": event.key.cluster.0.as_str(),
        "kind": event.key.kind.0.as_str(),
        "namespace": event.key.namespace.as_str(),
        "name": event.key.name.as_str(),
        "epoch": event.epoch.0,
    });
    match &event.change {
        Change::Upsert(payload) => {
            line["change"] = "upsert".into();
            line["generation"] = event.generation.into();
            line["resourceVersion"] = event.resource_version.as_str().into();
            line["object"] = serde_json::from_slice(payload).unwrap_or(Value::Null);
        }
        Change::Delete => line["change"] = "delete".into(),
        Change::Synced { sweep_before } => {
            line["change"] = "synced".into();
            line["sweepBefore"] = sweep_before.0.into();
        }
        Change::Unknown(_) => line["change"] = "unknown".into(),
    }
    line
}

#[cfg(test)]
mod tests {
    use proto::{ClusterId, Epoch, Event, Kind, Revision};

    #[test]
    fn an_event_is_one_line() {
        let event = Event::synced(ClusterId::LOCAL, Kind::SERVICE, Epoch(2), Epoch(1), 0);
        let line = super::line(Revision(3), &event);
        assert_eq!(
            (&line["revision"], &line["change"], &line["sweepBefore"]),
            (&3.into(), &"synced".into(), &1.into())
        );
        assert_eq!(super::lines(&[(Revision(3), event)]).iter().filter(|byte| **byte == b'\n').count(), 1);
    }
}
