//! `grpc`: one call of `grpc.health.v1.Health/Check`, small enough to be written by hand.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// Asks whether the service is SERVING.
///
/// # Errors
/// What went wrong.
pub(super) async fn check(address: Ipv4Addr, port: u16, service: &str) -> Result<(), String> {
    let stream = TcpStream::connect((address, port))
        .await
        .map_err(|error| format!("dial tcp {address}:{port}: {error}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("http://{address}:{port}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(frame(service)))
        .map_err(|error| error.to_string())?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
        verdict(&body.to_bytes())
    };
    let answer = answer.await;
    connection.abort();
    answer
}

/// The request's frame: no compression, length, field 1 with the service's name.
fn frame(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(&message);
    frame.into()
}

/// The answer's frame: field 1 is the status, 1 is SERVING.
fn verdict(frame: &[u8]) -> Result<(), String> {
    match frame {
        [_, _, _, _, _, 0x08, 1, ..] => Ok(()),
        [_, _, _, _, _, 0x08, status, ..] => Err(format!("service unhealthy (status {status})")),
        _ => Err("the gRPC health service gave no status".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        assert_eq!(frame("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(frame("ab").as_ref(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(frame(&"x".repeat(300))[5..8], [0x0a, 0xac, 2]);
        assert_eq!(verdict(&[0, 0, 0, 0, 2, 8, 1]), Ok(()));
        assert!(verdict(&[0, 0, 0, 0, 2, 8, 2]).unwrap_err().contains("unhealthy"));
        assert!(verdict(&[0, 0, 0, 0, 0]).is_err() && verdict(&[]).is_err());
    }
}
