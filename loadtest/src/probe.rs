//! A minimal HTTP/1.1 client over one keep-alive connection, and what its answers mean.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::objects::Target;

/// Longest wait for one answer; longer is a wrong answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Longest body that is read; ours are below 1 KiB, metrics below 1 MiB.
const BODY_LIMIT: usize = 64 << 20;

/// One response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Value of a header, its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

/// What tells one state of a route from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Name of the backend that answered.
    pub(crate) pod: Option<String>,
    /// Value of the response header `x-edit`.
    pub(crate) edit: Option<String>,
}

impl Answer {
    /// There is no such route.
    pub(crate) const MISSING: Answer = Answer { status: 404, pod: None, edit: None };

    /// Envoy answers with a redirect.
    pub(crate) const REDIRECT: Answer = Answer { status: 302, pod: None, edit: None };

    /// A backend answers.
    pub(crate) fn of(pod: &str, edit: Option<&str>) -> Answer {
        Answer { status: 200, pod: Some(pod.into()), edit: edit.map(Into::into) }
    }
}

impl From<&Response> for Answer {
    fn from(response: &Response) -> Answer {
        let body: Option<serde_json::Value> = serde_json::from_slice(&response.body).ok();
        let pod = body.and_then(|body| Some(body.get("pod")?.as_str()?.to_owned()));
        Answer { status: response.status, pod, edit: response.header("x-edit").map(Into::into) }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status)?;
        self.pod.iter().try_for_each(|pod| write!(f, " from {pod}"))?;
        self.edit.iter().try_for_each(|edit| write!(f, " with edit {edit}"))
    }
}

/// A client of one server on loopback.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// Connects with the first request.
    pub(crate) fn new(port: u16) -> Client {
        Client { address: (Ipv4Addr::LOCALHOST, port).into(), connection: None }
    }

    /// Asks for a route.
    ///
    /// # Errors
    /// If the connection fails or the answer is no HTTP.
    pub(crate) fn ask(&mut self, target: &Target) -> anyhow::Result<Answer> {
        self.get(&target.host, &target.path).map(|response| Answer::from(&response))
    }

    /// Sends a GET and reads the whole answer. A failed connection is dropped; the next call makes a new one.
    ///
    /// # Errors
    /// If the connection fails or the answer is no HTTP.
    pub(crate) fn get(&mut self, host: &str, path: &str) -> anyhow::Result<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        connection.get_mut().write_all(request.as_bytes()).context("cannot send")?;
        let response = read_response(&mut connection)?;
        if response.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(response)
    }

    fn connect(&self) -> anyhow::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, ANSWER_LIMIT).context("cannot connect")?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        stream.set_read_timeout(Some(ANSWER_LIMIT)).context("cannot set a timeout")?;
        Ok(BufReader::new(stream))
    }
}

fn read_response(from: &mut impl BufRead) -> anyhow::Result<Response> {
    let status_line = read_line(from)?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("no HTTP status line: {status_line:?}"))?;
    let mut response = Response { status, ..Response::default() };
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').with_context(|| format!("no header: {line:?}"))?;
        response.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        while read_chunk(from, &mut response.body)? {}
    } else if let Some(length) = response.header("content-length") {
        let length = length.parse().context("content-length is no number")?;
        read_exact(from, length, &mut response.body)?;
    }
    Ok(response)
}

/// True if more chunks follow.
fn read_chunk(from: &mut impl BufRead, body: &mut Vec<u8>) -> anyhow::Result<bool> {
    let size = read_line(from)?;
    let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
        .with_context(|| format!("no chunk size: {size:?}"))?;
    read_exact(from, size, body)?;
    read_line(from)?;
    Ok(size > 0)
}

fn read_exact(from: &mut impl BufRead, length: usize, body: &mut Vec<u8>) -> anyhow::Result<()> {
    if length > BODY_LIMIT {
        bail!("a body of {length} bytes is too long");
    }
    let start = body.len();
    body.resize(start + length, 0);
    from.read_exact(&mut body[start..]).context("the body ends early")
}

fn read_line(from: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    from.take(64 << 10).read_line(&mut line).context("cannot read")?;
    if !line.ends_with('\n') {
        bail!("the connection was closed");
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::{Answer, read_response};

    #[test]
    fn length_and_chunks_give_the_same_body() {
        let plain = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nX-Edit: 4\r\n\r\n{\"pod\":\"one\"}HTTP";
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"pod\r\n8\r\n\":\"one\"}\r\n0\r\n\r\nHTTP";
        let plain = read_response(&mut plain.as_bytes()).unwrap();
        let chunked = read_response(&mut chunked.as_bytes()).unwrap();
        assert_eq!(plain.body, chunked.body);
        assert_eq!(Answer::from(&plain), Answer::of("one", Some("4")));
        assert_eq!(Answer::from(&chunked), Answer::of("one", None));
    }

    #[test]
    fn an_empty_answer_has_no_pod() {
        let response =
            read_response(&mut "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".as_bytes()).unwrap();
        assert_eq!(Answer::from(&response), Answer::MISSING);
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        for bad in ["", "HTTP/1.1", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"] {
            assert!(read_response(&mut bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
