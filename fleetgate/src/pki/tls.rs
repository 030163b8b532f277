//! The xDS server's side of mutual TLS.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;

use super::authority::{Authority, Issued, LEAF};

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
    let mut made = server(&authority.server(names, SystemTime::now())?, authority)?;
    made.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(made))
}

/// A server that takes who has a certificate of the authority.
pub(super) fn server(issued: &Issued, authority: &Authority) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(roots(authority)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?;
    let (chain, key) = identity(issued)?;
    Ok(ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?)
}

/// What the authority trusts.
pub(super) fn roots(authority: &Authority) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(authority.trusted().as_bytes()) {
        roots.add(root.context("an authority's certificate is not PEM")?)?;
    }
    Ok(roots)
}

/// A certificate with its chain, and its key.
pub(super) fn identity(
    issued: &Issued,
) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    Ok((chain, PrivateKeyDer::from_pem_slice(issued.key.as_bytes())?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use proto::{Kind, ResourceKey};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::watch;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::ServerTls;
    use crate::pki::authority::{Authority, Issued};
    use crate::pki::gateway_of;

    const NAME: &str = "fleetgate.system.svc";

    fn authority() -> Authority {
        let (certificate, key) = Authority::make(SystemTime::now()).unwrap();
        Authority::open(&certificate, &key, "").unwrap()
    }

    fn gateway() -> ResourceKey {
        ResourceKey::local(Kind::GATEWAY, "infra", "web")
    }

    fn client(trusted: &Authority, issued: Option<&Issued>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.certificate().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let Some(issued) = issued else { return builder.with_no_client_auth() };
        let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes()).map(Result::unwrap).collect();
        builder
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap())
            .unwrap()
    }

    /// The Gateway that the server takes a client for; none if there is no connection.
    async fn taken_for(server: Arc<ServerConfig>, client: ClientConfig) -> Option<ResourceKey> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let accepting = tokio::spawn(async move {
            let mut stream = TlsAcceptor::from(server).accept(far).await.ok()?;
            let gateway = gateway_of(stream.get_ref().1.peer_certificates()?.first().map(AsRef::as_ref)).ok();
            stream.write_all(b"x").await.ok()?;
            gateway
        });
        let name = ServerName::try_from(NAME).unwrap();
        if let Ok(mut stream) = TlsConnector::from(Arc::new(client)).connect(name, near).await {
            // With TLS 1.3 a client learns only now that it was refused.
            let _ = stream.read_u8().await;
        }
        accepting.await.unwrap()
    }

    #[tokio::test]
    async fn only_a_certificate_of_the_authority_gets_a_connection() {
        let (ours, theirs) = (authority(), authority());
        let now = SystemTime::now();
        let server = ServerTls::new(&ours, vec![NAME.to_owned()]).unwrap();
        let configurations = server.configurations();
        let config = || Arc::clone(&configurations.borrow());
        let good = ours.proxy(&gateway(), now).unwrap();
        assert_eq!(taken_for(config(), client(&ours, Some(&good))).await, Some(gateway()));
        assert_eq!(taken_for(config(), client(&ours, None)).await, None);
        let strange = theirs.proxy(&gateway(), now).unwrap();
        assert_eq!(taken_for(config(), client(&ours, Some(&strange))).await, None);
        assert_eq!(
            taken_for(config(), client(&theirs, Some(&good))).await,
            None,
            "the server is checked, too"
        );
        // The server's own certificate is none for a client.
        let server_as_client = ours.server(&[NAME.to_owned()], now).unwrap();
        assert_eq!(taken_for(config(), client(&ours, Some(&server_as_client))).await, None);
    }

    #[tokio::test]
    async fn another_authority_takes_over_at_once() {
        let (old, new) = (authority(), Arc::new(authority()));
        let server = ServerTls::new(&old, vec![NAME.to_owned()]).unwrap();
        let mut configurations = server.configurations();
        let (sender, authorities) = watch::channel(Arc::new(old));
        let renewing = tokio::spawn(server.renew(authorities));
        sender.send_replace(Arc::clone(&new));
        configurations.changed().await.unwrap();
        let issued = new.proxy(&gateway(), SystemTime::now()).unwrap();
        let config = Arc::clone(&configurations.borrow());
        assert_eq!(taken_for(config, client(&new, Some(&issued))).await, Some(gateway()));
        renewing.abort();
    }
}
