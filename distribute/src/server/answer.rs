//! The body of a stream's answer: responses as gRPC frames them, then the status.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::sync::mpsc::Receiver;
use tonic::Status;

use crate::xds::{Parts, Response};

/// Nothing, or the responses that come. Bodies of resources are shared with the scope up to the socket: a proxy
/// that reads slowly holds no copies.
#[derive(Default)]
pub(super) struct Answer(Option<Responses>);

struct Responses {
    queue: Receiver<Result<Response, Status>>,
    parts: VecDeque<Bytes>,
}

impl Answer {
    /// A stream that has begun.
    pub(super) fn streaming(queue: Receiver<Result<Response, Status>>) -> http::Response<Answer> {
        let mut answer = http::Response::new(Answer(Some(Responses { queue, parts: VecDeque::new() })));
        let grpc = http::HeaderValue::from_static("application/grpc");
        answer.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
        answer
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(responses) = &mut self.0 else { return Poll::Ready(None) };
        if responses.parts.is_empty() {
            match ready!(responses.queue.poll_recv(cx)) {
                Some(Ok(response)) => responses.parts = framed(&response),
                Some(Err(status)) => return self.end(&status),
                None => return self.end(&Status::ok("")),
            }
        }
        Poll::Ready(responses.parts.pop_front().map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

impl Answer {
    fn end(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 = None;
        let mut trailers = HeaderMap::new();
        // Fails for a message that no header can hold; the code is there then.
        let _ = status.add_header(&mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

fn framed(response: &Response) -> VecDeque<Bytes> {
    let mut parts = Parts::framed(response.encoded_len());
    response.encode(&mut parts);
    parts.finish()
}
