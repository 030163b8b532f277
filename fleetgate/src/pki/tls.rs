//! The xDS server's side of mutual TLS.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;

use super::authority::{Authority, LEAF};

/// A configuration that follows its authority and renews its certificate.
pub(crate) struct ServerTls {
    names: Vec<String>,
    configuration: watch::Sender<Arc<ServerConfig>>,
}

impl ServerTls {
    /// For a server that proxies call by these names.
    ///
    /// # Errors
    /// If the authority cannot sign for them.
    pub(crate) fn new(authority: &Authority, names: Vec<String>) -> anyhow::Result<ServerTls> {
        let made = configuration(authority, &names)?;
        Ok(ServerTls { names, configuration: watch::Sender::new(made) })
    }

    /// What new connections are accepted with.
    pub(crate) fn configurations(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.configuration.subscribe()
    }

    /// Makes a new certificate with an authority that has changed, and each time a third of its life has passed.
    /// Connections that are open stay so.
    pub(crate) async fn renew(self, mut authorities: watch::Receiver<Arc<Authority>>) {
        loop {
            let wait = tokio::time::sleep(LEAF / 3);
            tokio::select! {
                () = wait => {}
                changed = authorities.changed() => if changed.is_err() { return },
            }
            let authority = Arc::clone(&authorities.borrow_and_update());
            match configuration(&authority, &self.names) {
                Ok(made) => drop(self.configuration.send_replace(made)),
                Err(error) => {
                    tracing::error!("the xDS server keeps its old certificate: {error:#}");
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
            }
        }
    }
}

fn configuration(authority: &Authority, names: &[String]) -> anyhow::Result<Arc<ServerConfig>> {
    let issued = authority.server(names, SystemTime::now())?;
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(authority.trusted().as_bytes()) {
        roots.add(root.context("an authority's certificate is not PEM")?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes())?;
    let mut made = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    made.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(made))
}
