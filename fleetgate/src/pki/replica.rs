//! Mutual TLS between replicas of the control plane: a proxy's certificate gets nobody in.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::authority::{Authority, LEAF};
use super::identity::{REPLICA_NAME, is_replica};
use super::tls::{identity, roots, server};

/// After a failure to sign.
const PAUSE: Duration = Duration::from_secs(60);

/// Both sides of connections between replicas.
#[derive(Clone)]
pub(crate) struct Sides {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Sides {
    fn new(authority: &Authority) -> anyhow::Result<Sides> {
        let issued = authority.replica(SystemTime::now())?;
        let (chain, key) = identity(&issued)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots(authority)?)
            .with_client_auth_cert(chain, key)?;
        Ok(Sides { server: Arc::new(server(&issued, authority)?), client: Arc::new(client) })
    }

    /// Takes a connection of another replica.
    ///
    /// # Errors
    /// If it is not of one.
    pub(crate) async fn accept(&self, stream: TcpStream) -> anyhow::Result<server::TlsStream<TcpStream>> {
        let stream = TlsAcceptor::from(Arc::clone(&self.server)).accept(stream).await?;
        let peer = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        anyhow::ensure!(
            peer.is_some_and(|leaf| is_replica(leaf)),
            "its certificate is not that of a replica"
        );
        Ok(stream)
    }

    /// Greets another replica, and no one else.
    ///
    /// # Errors
    /// If it is not one.
    pub(crate) async fn connect(&self, stream: TcpStream) -> anyhow::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(REPLICA_NAME).context("invariant: the name is a DNS name")?;
        Ok(TlsConnector::from(Arc::clone(&self.client)).connect(name, stream).await?)
    }
}

/// Sides that follow their authority and renew their certificate.
pub(crate) struct ReplicaTls(watch::Sender<Sides>);

impl ReplicaTls {
    /// Sides with a certificate of this authority.
    ///
    /// # Errors
    /// If it cannot sign for them.
    pub(crate) fn new(authority: &Authority) -> anyhow::Result<ReplicaTls> {
        Ok(ReplicaTls(watch::Sender::new(Sides::new(authority)?)))
    }

    /// What new connections are made with.
    pub(crate) fn sides(&self) -> watch::Receiver<Sides> {
        self.0.subscribe()
    }

    /// Makes new ones with an authority that has changed, and each time a third of their life has passed.
    pub(crate) async fn renew(self, mut authorities: watch::Receiver<Arc<Authority>>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LEAF / 3) => {}
                changed = authorities.changed() => if changed.is_err() { return },
            }
            let authority = Arc::clone(&authorities.borrow_and_update());
            match Sides::new(&authority) {
                Ok(sides) => drop(self.0.send_replace(sides)),
                Err(error) => {
                    tracing::error!("replicas keep their old certificate: {error:#}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proto::{Kind, ResourceKey};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::{Authority, Sides, identity, roots};

    fn authority() -> Authority {
        let (certificate, key) = Authority::make(SystemTime::now()).unwrap();
        Authority::open(&certificate, &key, "").unwrap()
    }

    /// True if both sides took each other.
    async fn is_taken(server: &Sides, client: &Sides) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepting = async {
            let mut stream = server.accept(listener.accept().await.unwrap().0).await?;
            stream.write_all(b"x").await?;
            anyhow::Ok(())
        };
        let asking = async {
            let mut stream = client.connect(stream).await?;
            anyhow::ensure!(stream.read_u8().await? == b'x');
            anyhow::Ok(())
        };
        let (accepted, asked) = tokio::join!(accepting, asking);
        accepted.is_ok() && asked.is_ok()
    }

    #[tokio::test]
    async fn replicas_take_only_replicas() {
        let ours = authority();
        let sides = Sides::new(&ours).unwrap();
        assert!(is_taken(&sides, &Sides::new(&ours).unwrap()).await);
        assert!(!is_taken(&sides, &Sides::new(&authority()).unwrap()).await, "of another authority");
        // A proxy has a certificate of ours, too.
        let gateway = ResourceKey::local(Kind::GATEWAY, "a", "b");
        let issued = ours.proxy(&gateway, SystemTime::now()).unwrap();
        let (chain, key) = identity(&issued).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let proxy = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots(&ours).unwrap())
            .with_client_auth_cert(chain, key)
            .unwrap();
        let proxy = Sides { client: proxy.into(), ..sides.clone() };
        assert!(!is_taken(&sides, &proxy).await, "of a proxy");
        // Nor is the xDS server one.
        let issued = ours.server(&["fleetgate.system.svc".to_owned()], SystemTime::now()).unwrap();
        let xds = Sides { server: super::server(&issued, &ours).unwrap().into(), ..sides.clone() };
        assert!(!is_taken(&xds, &sides).await, "the xDS server");
    }
}
