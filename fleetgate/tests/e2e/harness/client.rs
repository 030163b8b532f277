//! A small HTTP client: one request a connection, or a connection to keep.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::{http1, http2};
use hyper::http::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use loadtest::backend::Echo;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::certificates::Identity;
use super::wait::DEADLINE;

/// A request to make.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: &'static str,
}

impl Ask {
    pub(crate) fn get(host: &str, path: &str) -> Ask {
        Ask { method: "GET", host: host.into(), path: path.into(), headers: Vec::new(), body: "" }
    }

    /// A call of a gRPC method with an empty message.
    pub(crate) fn grpc(host: &str, service: &str, method: &str) -> Ask {
        Ask::get(host, &format!("/{service}/{method}"))
            .method("POST")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body("\0\0\0\0\0")
    }

    pub(crate) fn method(self, method: &'static str) -> Ask {
        Ask { method, ..self }
    }

    pub(crate) fn body(self, body: &'static str) -> Ask {
        Ask { body, ..self }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Ask {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn request(&self, uri: String) -> hyper::http::request::Builder {
        let request = Request::builder().method(self.method).uri(uri);
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    /// A header's value; of several, all with commas.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self.headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// What the backend saw, if a backend answered.
    pub(crate) fn seen(&self) -> Option<Echo> {
        // A gRPC message begins with a flag and its length.
        let message = if self.grpc_status().is_some() { self.body.get(5..)? } else { &self.body };
        serde_json::from_slice(message).ok()
    }

    /// The status of a gRPC call: in the trailers, or in the headers where there is no message.
    pub(crate) fn grpc_status(&self) -> Option<&str> {
        self.trailers.get("grpc-status").or_else(|| self.headers.get("grpc-status"))?.to_str().ok()
    }

    /// What the backend saw.
    pub(crate) fn echo(&self) -> Echo {
        self.seen().unwrap_or_else(|| panic!("no backend answered: {self:?}"))
    }

    /// Status and name of the backend, empty if none answered: for comparison.
    pub(crate) fn brief(&self) -> (u16, String) {
        (self.status, self.seen().map(|echo| echo.pod).unwrap_or_default())
    }
}

/// Makes one request over a connection of its own.
pub(crate) async fn ask(port: u16, ask: &Ask) -> Result<Answer, String> {
    Connection::plain(port).await?.ask(ask).await
}

/// [`ask`], at any address.
pub(crate) async fn ask_at(address: SocketAddr, ask: &Ask) -> Result<Answer, String> {
    Connection::plain_to(address).await?.ask(ask).await
}

/// An open connection.
pub(crate) enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>, &'static str),
}

impl Connection {
    /// HTTP/1.1 without TLS.
    pub(crate) async fn plain(port: u16) -> Result<Connection, String> {
        Connection::plain_to(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
    }

    /// HTTP/1.1 without TLS, to any address.
    pub(crate) async fn plain_to(address: SocketAddr) -> Result<Connection, String> {
        http1_over(connect(address).await?).await
    }

    /// HTTP/1.1 over a Unix socket.
    pub(crate) async fn unix(path: &Path) -> Result<Connection, String> {
        http1_over(UnixStream::connect(path).await.map_err(text)?).await
    }

    /// HTTP/2 without TLS, with prior knowledge.
    pub(crate) async fn h2c(port: u16) -> Result<Connection, String> {
        let stream = connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        http2_over(stream, "http").await
    }

    /// TLS with a server name; also the certificate that the server showed.
    pub(crate) async fn tls(
        port: u16,
        sni: &str,
        ca: &CertificateDer<'static>,
        alpn: &str,
    ) -> Result<(Connection, CertificateDer<'static>), String> {
        Connection::tls_as(port, sni, ca, alpn, None).await
    }

    /// TLS of a client with a certificate.
    pub(crate) async fn tls_as(
        port: u16,
        sni: &str,
        ca: &CertificateDer<'static>,
        alpn: &str,
        client: Option<&Identity>,
    ) -> Result<(Connection, CertificateDer<'static>), String> {
        Connection::tls_to((Ipv4Addr::LOCALHOST, port).into(), sni, ca, alpn, client).await
    }

    /// The same, at any address.
    pub(crate) async fn tls_to(
        address: SocketAddr,
        sni: &str,
        ca: &CertificateDer<'static>,
        alpn: &str,
        client: Option<&Identity>,
    ) -> Result<(Connection, CertificateDer<'static>), String> {
        let stream = connect(address).await?;
        let name = ServerName::try_from(sni.to_owned()).map_err(text)?;
        let stream = connector(ca, alpn, client).connect(name, stream).await.map_err(text)?;
        let session = stream.get_ref().1;
        let shown = session.peer_certificates().and_then(|chain| chain.first()).ok_or("no certificate")?;
        let shown = shown.clone().into_owned();
        let connection = match session.alpn_protocol() {
            Some(b"h2") => http2_over(stream, "https").await?,
            _ => http1_over(stream).await?,
        };
        Ok((connection, shown))
    }

    /// Makes a request; the connection can be used again.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Result<Answer, String> {
        tokio::time::timeout(DEADLINE, self.exchange(ask)).await.map_err(|_| "no answer".to_owned())?
    }

    async fn exchange(&mut self, ask: &Ask) -> Result<Answer, String> {
        let body = Full::from(ask.body);
        let response = match self {
            Connection::Http1(sender) => {
                let request = ask.request(ask.path.clone()).header("host", &ask.host).body(body);
                sender.send_request(request.map_err(text)?).await
            }
            Connection::Http2(sender, scheme) => {
                let request = ask.request(format!("{scheme}://{}{}", ask.host, ask.path)).body(body);
                sender.send_request(request.map_err(text)?).await
            }
        };
        let (parts, body) = response.map_err(text)?.into_parts();
        let body = body.collect().await.map_err(text)?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes(), trailers })
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).await.map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    Ok(stream)
}

async fn http1_over<S>(stream: S) -> Result<Connection, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    tokio::spawn(connection);
    Ok(Connection::Http1(sender))
}

async fn http2_over<S>(stream: S, scheme: &'static str) -> Result<Connection, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(text)?;
    tokio::spawn(connection);
    Ok(Connection::Http2(sender, scheme))
}

fn connector(ca: &CertificateDer<'static>, alpn: &str, client: Option<&Identity>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).unwrap();
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let key = PrivateKeyDer::from_pem_slice(client.private_key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![client.der.clone()], key).unwrap()
        }
    };
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    TlsConnector::from(Arc::new(config))
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}
