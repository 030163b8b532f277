//! TLS of a backend: one certificate, optionally a CA for client certificates.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{StartError, TlsEcho};

/// Certificate and key, as PEM text.
#[derive(Clone)]
pub struct TlsOptions {
    /// The certificate chain, leaf first.
    pub certificate: String,
    /// Private key of the leaf.
    pub private_key: String,
    /// If given, a client certificate is asked for, and refused unless one of these CAs signed it; a client
    /// without one is served all the same.
    pub client_ca: Option<String>,
}

/// Without the key.
impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions").field("client_ca", &self.client_ca.is_some()).finish_non_exhaustive()
    }
}

pub(super) fn acceptor(options: &TlsOptions) -> Result<TlsAcceptor, StartError> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates("certificate", &options.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(options.private_key.as_bytes())
        .map_err(|error| fault("private key", error))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| fault("certificate", error))?;
    let builder = match &options.client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("client CA", pem)? {
                roots.add(certificate).map_err(|error| fault("client CA", error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| fault("client CA", error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| fault("certificate", error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What the handshake agreed on.
pub(super) fn peer(connection: &rustls::ServerConnection) -> TlsEcho {
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    TlsEcho {
        sni: connection.server_name().map(str::to_owned),
        alpn: connection.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned()),
        client_cert_subject: leaf.and_then(|der| {
            let (_, certificate) = X509Certificate::from_der(der).ok()?;
            Some(certificate.subject().to_string())
        }),
    }
}

fn certificates(field: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let read = read.map_err(|error| fault(field, error))?;
    if read.is_empty() { Err(fault(field, "no certificate in it")) } else { Ok(read) }
}

fn fault(field: &'static str, problem: impl fmt::Display) -> StartError {
    StartError::Tls { field, problem: problem.to_string() }
}
