//! Requests to the API server, with what kube's own calls leave out: Retry-After, and bodies that may hold
//! private keys are never logged.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::client::Body;

/// Until the head of an answer must be there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of a list, or of a page of it.
const LIST_BYTES: usize = 1 << 30;

/// Bytes that are read of a refusal.
const REFUSAL_BYTES: usize = 64 << 10;

/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// An answer without success.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) code: u16,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

/// Why there is no answer that can be used.
#[derive(Debug)]
pub(super) enum Error {
    Refused(Refused),
    /// The connection failed, or there was none.
    Lost(String),
}

/// Sends a request and gives the body of a good answer.
pub(super) async fn send(client: &Client, request: Request<Vec<u8>>) -> Result<Body, Error> {
    let answer = tokio::time::timeout(PATIENCE, client.send(request.map(Body::from)));
    let answer = match answer.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(Error::Lost(causes(&error))),
        Err(_) => return Err(Error::Lost(format!("no answer within {} s", PATIENCE.as_secs()))),
    };
    if answer.status().is_success() {
        return Ok(answer.into_body());
    }
    let code = answer.status().as_u16();
    let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let message = collect(answer.into_body(), REFUSAL_BYTES).await.map(|body| message(&body));
    Err(Error::Refused(Refused {
        code,
        message: message.unwrap_or_else(|_| "no reason given".to_owned()),
        retry_after: retry_after.map(|pause| pause.min(LONGEST_PAUSE)),
    }))
}

/// Sends a request and reads the whole of a good answer.
pub(super) async fn read(client: &Client, request: Request<Vec<u8>>) -> Result<Bytes, Error> {
    let body = send(client, request).await?;
    collect(body, LIST_BYTES).await
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Error> {
    match tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) => Err(Error::Lost(causes(error.as_ref()))),
        Err(_) => Err(Error::Lost(format!("the answer took more than {} s", PATIENCE.as_secs()))),
    }
}

/// The message of a Status, or the text itself where there is none.
fn message(body: &[u8]) -> String {
    let status: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = status.as_ref().and_then(|status| status.get("message")?.as_str());
    let text = message.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    text.trim().chars().take(500).collect()
}

/// An error with its causes: kube's own texts stop at the first.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
