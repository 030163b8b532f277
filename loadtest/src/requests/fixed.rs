//! A backend that costs next to nothing: every request gets the same answer.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::Context;

use crate::scenario::Pod;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"pod\":\"fixed\"}";

/// Listens until the process ends.
///
/// # Errors
/// If no port is free.
pub(super) fn start() -> anyhow::Result<Pod> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for the backend")?;
    let port = listener.local_addr().context("no address")?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A connection that breaks shows as a wrong answer.
            std::thread::spawn(|| serve(stream));
        }
    });
    Ok(Pod { name: "fixed", port })
}

/// Requests have no body, so each ends with an empty line.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 16 << 10];
    let mut seen = 0;
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        for byte in &buffer[..length] {
            seen = match (seen, byte) {
                (0 | 2, b'\r') => seen + 1,
                (1 | 3, b'\n') => seen + 1,
                (_, b'\r') => 1,
                _ => 0,
            };
            if seen == 4 {
                seen = 0;
                stream.write_all(ANSWER)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::start;
    use crate::objects::Target;
    use crate::probe::{Answer, Client};

    #[test]
    fn every_request_gets_the_same_answer() {
        let mut client = Client::new(start().unwrap().port);
        for path in ["/", "/a\rb", "/c"] {
            let target = Target { host: "h".into(), path: path.into() };
            assert_eq!(client.ask(&target).unwrap(), Answer::of("fixed", None));
        }
    }
}
