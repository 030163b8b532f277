//! An API server as an administrator reaches it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where it is, and how it is convinced.
pub(crate) struct Upstream {
    port: u16,
    connector: TlsConnector,
}

impl Upstream {
    /// The cluster of `$KUBECONFIG`, which a test bed wrote.
    pub(crate) fn of_kubeconfig() -> Upstream {
        let text = std::fs::read(std::env::var_os("KUBECONFIG").unwrap()).unwrap();
        let config: Value = serde_json::from_slice(&text).unwrap();
        let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
        let part = |of: &Value, name: &str| STANDARD.decode(of[name].as_str().unwrap()).unwrap();
        let certificate = |pem: &[u8]| CertificateDer::from_pem_slice(pem).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&part(cluster, "certificate-authority-data"))).unwrap();
        let chain = vec![certificate(&part(user, "client-certificate-data"))];
        let key = PrivateKeyDer::from_pem_slice(&part(user, "client-key-data")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let tls = builder.with_client_auth_cert(chain, key).unwrap();
        let port = cluster["server"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        Upstream { port, connector: TlsConnector::from(Arc::new(tls)) }
    }

    /// Passes a request on, over a connection of its own.
    pub(crate) async fn send<B>(&self, request: Request<B>) -> Result<Response<Incoming>, String>
    where
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.map_err(text)?;
        let name = ServerName::try_from("127.0.0.1").map_err(text)?;
        let stream = self.connector.connect(name, stream).await.map_err(text)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(text)
    }
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}
