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

use super::answer::{Body, text, typed};
use super::{Admin, Query};
use crate::time::rfc3339;

const PAGE: usize = 512;

/// Everything after `since`, or after the oldest event if that was compacted; with `follow` for ever.
pub(super) async fn answer(admin: &Admin, query: &Query<'_>) -> Response<Body> {
    let since = match query.revision("since") {
        Ok(since) => since.unwrap_or(Revision::NONE),
        Err(problem) => return text(StatusCode::BAD_REQUEST, problem),
    };
    // The first page now, so that its error has a status of its own.
    let first = match admin.log.read(since, PAGE).await {
        Ok(page) => page,
        Err(error) => return text(StatusCode::GONE, format!("{error}\n")),
    };
    let follow = query.get("follow").is_some_and(|value| value != "0");
    let (sender, body) = Channel::<Bytes, Infallible>::new(4);
    tokio::spawn(stream(Arc::clone(&admin.log), since, first, follow, sender));
    typed(StatusCode::OK, "application/jsonl", body.boxed())
}

async fn stream(
    log: Arc<dyn EventLog>,
    since: Revision,
    mut page: Vec<(Revision, Event)>,
    follow: bool,
    mut sender: Sender<Bytes>,
) {
    let mut head = log.watch_head();
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
        if !follow || head.wait_for(|head| *head > at).await.is_err() {
            return;
        }
        page = log.read(at, PAGE).await.unwrap_or_default();
        if page.is_empty() {
            return;
        }
    }
}

fn lines(page: &[(Revision, Event)]) -> Bytes {
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
        Change::Unknown => line["change"] = "unknown".into(),
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
