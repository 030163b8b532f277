//! The same with mutual TLS, where the certificate says who a peer is.

use std::sync::Arc;

use distribute::{Listener, Options};
use envoy_types::pb::envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest};
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring::default_provider};

use crate::ONE_AT_A_TIME;
use crate::bed::Server;
use crate::pieces::{cluster, delta};
use crate::raw::{DATA, PING, Raw, frame, message};

struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Pki {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Pki { authority: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    fn leaf(
        &self,
        usage: ExtendedKeyUsagePurpose,
    ) -> (Vec<CertificateDer<'static>>, PrivatePkcs8KeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["xds.test".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        (vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        roots
    }

    fn server(&self) -> ServerConfig {
        let provider = Arc::new(default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), Arc::clone(&provider));
        let (chain, key) = self.leaf(ExtendedKeyUsagePurpose::ServerAuth);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }

    fn client(&self) -> TlsConnector {
        let (chain, key) = self.leaf(ExtendedKeyUsagePurpose::ClientAuth);
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots())
            .with_client_auth_cert(chain, key.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config).into()
    }
}

/// A proxy with a certificate that has been given its clusters.
async fn served(server: &Server, client: &TlsConnector) -> Raw<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("xds.test").unwrap();
    let mut raw = Raw::over(client.connect(name, stream).await.unwrap()).await;
    raw.open(None).await;
    let node = Some(Node { id: "proxy-1".into(), ..Default::default() });
    let type_url = distribute::ResourceType::Cluster.url().into();
    let first = DeltaDiscoveryRequest { node, type_url, ..Default::default() };
    raw.send(&message(&first.encode_to_vec())).await;
    raw.until(DATA).await;
    raw
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_without_end_keep_no_proxy_out() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let pki = Pki::new();
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let (_config, configs) = watch::channel(Arc::new(pki.server()));
    let options = Options { max_unknown_connections: 200, ..Options::default() };
    let server = Server::on(Listener::Tls(socket, configs), address, options);
    server.distributor.publish(&delta(1, vec![cluster("a")], Vec::new()));
    let client = pki.client();
    let mut early = served(&server, &client).await;
    let before = crate::resident();
    // Silent ones, and ones that say something that is no TLS.
    let mut silent = Vec::new();
    for n in 0..2000 {
        use tokio::io::AsyncWriteExt;
        let mut stream = TcpStream::connect(address).await.unwrap();
        if n % 2 == 0 {
            let _ = stream.write_all(b"\x16\x03\x01\x02\x00\x01").await;
        }
        silent.push(stream);
    }
    let mut late = served(&server, &client).await;
    // Who was there before has lost nothing.
    server.distributor.publish(&delta(2, vec![cluster("b")], Vec::new()));
    for proxy in [&mut early, &mut late] {
        proxy.write(&frame(PING, 0, 0, &[1; 8])).await;
        let all = async { while proxy.next().await.expect("the connection was closed").kind != PING {} };
        tokio::time::timeout(crate::bed::FOREVER, all).await.expect("no answer");
    }
    let grown = crate::resident().saturating_sub(before) >> 20;
    assert!(grown < 64, "{grown} MiB");
}
