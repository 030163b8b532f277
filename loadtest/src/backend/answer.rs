//! From a request to its answer.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::http::{HeaderValue, StatusCode, header};
use hyper::{Request, Response};

use super::instructions::{Instructions, Retry};
use super::memory::Memory;
use super::{Echo, TlsEcho, grpc, websocket};

/// Most of a request's body that is read.
const LARGEST_BODY: usize = 1 << 20;

/// The body of an answer: of gRPC it has trailers.
pub(super) type Body = BoxBody<Bytes, Infallible>;

pub(super) async fn answer(
    mut request: Request<Incoming>,
    tls: Option<TlsEcho>,
    memory: Arc<Memory>,
) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/_seen" {
        return Ok(json(StatusCode::OK, &serde_json::json!({ "seen": memory.seen() })));
    }
    let upgraded = websocket::handshake(&mut request, &memory);
    let (parts, body) = request.into_parts();
    let mut echo = Echo::of(&parts);
    echo.tls = tls;
    if let Some(switching) = upgraded {
        memory.sign(&mut echo);
        return Ok(switching.map(BodyExt::boxed));
    }
    echo.body = text(body).await;
    memory.sign(&mut echo);

    let wanted = Instructions::of(&parts);
    if !wanted.delay.is_zero() {
        tokio::time::sleep(wanted.delay).await;
    }
    let retried = wanted.retry.map(|retry| attempt(&retry, &memory));
    let mut response = match grpc::is_asked(&parts.headers) {
        true => grpc::answer(&echo),
        false => json(wanted.status.or(retried).unwrap_or(StatusCode::OK), &echo),
    };
    for (name, value) in wanted.set_headers {
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

fn attempt(retry: &Retry, memory: &Memory) -> StatusCode {
    if memory.attempt(&retry.id) < retry.failures { retry.code } else { StatusCode::OK }
}

async fn text(body: Incoming) -> Option<String> {
    let read = Limited::new(body, LARGEST_BODY).collect().await;
    let bytes = match read {
        Ok(read) => read.to_bytes(),
        Err(_) => return Some("(longer than 1 MiB, or cut off)".to_owned()),
    };
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Body> {
    // 204 and 304 have no body, whatever is asked for.
    let bodiless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let body = if bodiless { Vec::new() } else { serde_json::to_vec_pretty(value).unwrap_or_default() };
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
