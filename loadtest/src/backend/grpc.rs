//! gRPC: the echo, still as JSON, is one message; the status comes in the trailers.

use std::convert::Infallible;
use std::future::ready;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::http::{HeaderMap, HeaderValue, header};

use super::Echo;
use super::answer::Body;

const CONTENT_TYPE: &str = "application/grpc";

/// True if a request with these headers is one of gRPC.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(CONTENT_TYPE.as_bytes()))
}

/// Status OK, after one message that is not compressed.
pub(super) fn answer(echo: &Echo) -> Response<Body> {
    let message = serde_json::to_vec(echo).unwrap_or_default();
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(framed)).with_trailers(ready(Some(Ok::<_, Infallible>(trailers))));
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}
