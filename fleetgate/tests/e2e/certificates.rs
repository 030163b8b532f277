//! Certificates of all kinds, good and bad: each serves or is told, and none is in the way of another.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::backend_tls::policy;
use crate::harness::{
    Authority, Identity, Instance, Scene, certificate_secret, free_port, gateway, indent, until,
};

/// Those that Envoy serves with, and those that it refuses; `ingest/testdata/identities` has them.
const SERVED: [&str; 12] = [
    "rsa-2048",
    "rsa-2560",
    "rsa-8192",
    "pkcs1",
    "p256",
    "p256-without-public",
    "sec1-with-parameters",
    "p384",
    "p521",
    "p521-without-public",
    "ed25519",
    "expired",
];
const REFUSED: [&str; 9] = [
    "rsa-1024",
    "rsa-2047",
    "p224",
    "secp256k1",
    "ed448",
    "rsa-pss",
    "must-staple",
    "encrypted-pkcs8",
    "encrypted-sec1",
];

/// Takes any certificate, of any kind: only what is shown is of interest.
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        use SignatureScheme as S;
        vec![
            S::ECDSA_NISTP256_SHA256,
            S::ECDSA_NISTP384_SHA384,
            S::ECDSA_NISTP521_SHA512,
            S::ED25519,
            S::RSA_PSS_SHA256,
            S::RSA_PSS_SHA384,
            S::RSA_PSS_SHA512,
        ]
    }
}

/// The chain that a server shows for a name.
async fn shown(port: u16, sni: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any))
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from(sni.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| error.to_string())?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(chain.iter().map(|der| der.clone().into_owned()).collect())
}

fn identity(name: &str) -> Identity {
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../ingest/testdata/identities/{name}.pem"));
    let text = std::fs::read_to_string(file).unwrap();
    let (certificate, key) = text.split_once("-----END CERTIFICATE-----\n").unwrap();
    let certificate = format!("{certificate}-----END CERTIFICATE-----\n");
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    Identity { certificate, private_key: key.to_owned(), der }
}

fn listener(name: &str, port: u16) -> String {
    format!(
        "{{name: {name}, port: {port}, protocol: HTTPS, hostname: {name}.example.com, \
         tls: {{certificateRefs: [{{name: {name}}}]}}}}"
    )
}

/// Waits until the certificate is shown.
async fn expect_shown(port: u16, name: &str, identity: &Identity) {
    until(&format!("{name} is served"), async || {
        let chain = shown(port, &format!("{name}.example.com")).await?;
        if chain[0] == identity.der { Ok(()) } else { Err("another certificate is shown".to_owned()) }
    })
    .await;
}

/// What an Envoy said of waiting in vain; it waits 15 s before it says so and opens its port.
fn waited(instance: &Instance, gateway: &str) -> bool {
    let log = instance.state().join(format!("envoy/{gateway}.log"));
    std::fs::read_to_string(log).unwrap().contains("initial fetch timed out")
}

const INVALID: &str = "ResolvedRefs=False InvalidCertificateRef";

/// A fresh Envoy gets them all at once, on one port.
#[tokio::test]
async fn what_envoy_can_serve_is_served_and_what_it_cannot_is_told() {
    let Some(mut scene) = Scene::open("identities").await else { return };
    let port = free_port();
    let names: Vec<&str> = SERVED.iter().chain(&REFUSED).copied().collect();
    let listeners: Vec<String> = names.iter().map(|name| listener(name, port)).collect();
    for name in &names {
        scene.add(&certificate_secret(&scene.name, name, &identity(name)));
    }
    scene.write(&gateway(&scene.name, "web", &listeners));
    for name in SERVED {
        expect_shown(port, name, &identity(name)).await;
    }
    for (index, name) in names.iter().enumerate() {
        let place = format!("/listeners/{index}");
        let good = SERVED.contains(name);
        scene
            .expect_condition(
                "Gateway",
                "web",
                &place,
                if good { "ResolvedRefs=True ResolvedRefs" } else { INVALID },
            )
            .await;
        let programmed = if good { "Programmed=True Programmed" } else { "Programmed=False Invalid" };
        scene.expect_condition("Gateway", "web", &place, programmed).await;
    }
    assert!(!waited(scene.instance, "identities_web"), "its port was closed for seconds");
    let status = scene.instance.status().await;
    let proxy = status["proxies"]
        .as_array()
        .unwrap()
        .iter()
        .find(|proxy| proxy["gateway"] == "identities/web")
        .unwrap();
    assert!(proxy["lastNack"].is_null(), "it was sent what it refuses: {proxy}");
}

/// The one thing that Envoy alone finds out: a key on P-521 that says it is the certificate's, and is not. Envoy refuses
/// it, and opens its port for the others.
#[tokio::test]
async fn a_key_that_only_envoy_finds_out_closes_nothing_else() {
    let Some(mut scene) = Scene::open("lies").await else { return };
    let port = free_port();
    let names = ["p521-of-another-scalar", "p521", "p256"];
    for name in names {
        scene.add(&certificate_secret(&scene.name, name, &identity(name)));
    }
    let listeners = names.map(|name| listener(name, port));
    scene.write(&gateway(&scene.name, "web", &listeners));
    for name in &names[1..] {
        expect_shown(port, name, &identity(name)).await;
    }
    assert!(!waited(scene.instance, "lies_web"), "its port was closed for seconds");
    assert!(shown(port, "p521-of-another-scalar.example.com").await.is_err());
}

/// In a chain, and beside it.
#[tokio::test]
async fn chains_are_served_whole_or_told() {
    let Some(mut scene) = Scene::open("chains").await else { return };
    let port = free_port();
    let plain = free_port();
    let authority = Authority::new();
    let good = authority.issue(&["good.example.com"]);
    let with = |name: &str, more: &str| {
        let mut identity = authority.issue(&[&format!("{name}.example.com")]);
        identity.certificate += more;
        identity
    };
    let full = with("full", &authority.pem());
    let key = with("with-key", &authority.key_pem());
    let broken = with("broken", "-----BEGIN CERTIFICATE-----\naGVsbG8gd29ybGQ=\n-----END CERTIFICATE-----\n");
    let listeners = [
        format!("{{name: plain, port: {plain}, protocol: HTTP}}"),
        listener("good", port),
        listener("full", port),
        listener("with-key", port),
        listener("broken", port),
    ];
    scene.add(&gateway(&scene.name, "web", &listeners));
    for (name, identity) in [("good", &good), ("full", &full), ("with-key", &key)] {
        scene.add(&certificate_secret(&scene.name, name, identity));
    }
    scene.write_file("-broken", &certificate_secret(&scene.name, "broken", &broken));
    scene.write("");
    for (name, identity) in [("good", &good), ("full", &full), ("with-key", &key)] {
        expect_shown(port, name, identity).await;
    }
    assert_eq!(shown(port, "full.example.com").await.unwrap().len(), 2);
    assert_eq!(shown(port, "with-key.example.com").await.unwrap().len(), 1);
    scene.expect_condition("Gateway", "web", "/listeners/4", INVALID).await;
    assert!(shown(port, "broken.example.com").await.is_err());

    // Live, too; and away with it again.
    let mended = with("broken", &authority.pem());
    for round in 0..3 {
        scene.write_file("-broken", &certificate_secret(&scene.name, "broken", &mended));
        expect_shown(port, "broken", &mended).await;
        scene.expect_condition("Gateway", "web", "/listeners/4", "Programmed=True Programmed").await;
        scene.write_file("-broken", &certificate_secret(&scene.name, "broken", &broken));
        scene.expect_condition("Gateway", "web", "/listeners/4", INVALID).await;
        if round == 1 {
            scene.remove_file("-broken");
            scene.expect_condition("Gateway", "web", "/listeners/4", INVALID).await;
        }
        for index in 0..4 {
            scene
                .expect_condition(
                    "Gateway",
                    "web",
                    &format!("/listeners/{index}"),
                    "Programmed=True Programmed",
                )
                .await;
        }
        scene.expect_condition("Gateway", "web", "", "Programmed=True Programmed").await;
    }
    assert!(!waited(scene.instance, "chains_web"), "its port was closed for seconds");
    let log = scene.instance.log() + &scene.instance.page("/log").await;
    for line in authority.key_pem().lines().filter(|line| !line.starts_with('-')) {
        assert!(!log.contains(line), "a private key was written down");
    }
}

/// A Secret that cannot be read any more when fleetgate starts: nobody has its key.
#[tokio::test]
async fn a_secret_that_breaks_while_nobody_looks_closes_only_its_listener_and_heals() {
    let Some(mut instance) = Instance::start().await else { return };
    let port = free_port();
    let authority = Authority::new();
    let [good, other] = [authority.issue(&["good.example.com"]), authority.issue(&["other.example.com"])];
    let write = |instance: &Instance, name: &str, text: &str| instance.write(name, text);
    let secret = |name: &str, identity: &Identity| certificate_secret("keys", name, identity);
    write(
        &instance,
        "keys.yaml",
        &gateway("keys", "web", &[listener("good", port), listener("other", port)]),
    );
    write(&instance, "keys-good.yaml", &secret("good", &good));
    write(&instance, "keys-other.yaml", &secret("other", &other));
    expect_shown(port, "good", &good).await;
    expect_shown(port, "other", &other).await;
    instance.ready().await;

    instance.signal("TERM");
    let broken = secret("other", &other).replace("stringData:", "stringData: [");
    write(&instance, "keys-other.yaml", &broken);
    instance.restart().await;
    expect_shown(port, "good", &good).await;
    {
        let mut scene = Scene::on(&instance, "keys");
        scene.port = port;
        scene.expect_condition("Gateway", "web", "/listeners/1", INVALID).await;
        scene.expect_condition("Gateway", "web", "/listeners/1", "Programmed=False Invalid").await;
        scene.expect_condition("Gateway", "web", "/listeners/0", "Programmed=True Programmed").await;
    }
    assert!(shown(port, "other.example.com").await.is_err());
    assert!(!waited(&instance, "keys_web"), "its port was closed for seconds");

    write(&instance, "keys-other.yaml", &secret("other", &other));
    expect_shown(port, "other", &other).await;
    expect_shown(port, "good", &good).await;
    let scene = Scene::on(&instance, "keys");
    scene.expect_condition("Gateway", "web", "/listeners/1", "ResolvedRefs=True ResolvedRefs").await;
    scene.expect_condition("Gateway", "web", "/listeners/1", "Programmed=True Programmed").await;
}

fn map(scene: &Scene<'_>, name: &str, text: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {}}}\ndata:\n  ca.crt: |\n{}",
        scene.name,
        indent(text, 4)
    )
}

/// CA certificates that become garbage: nothing is trusted any more, and what is told names the ConfigMap.
#[tokio::test]
async fn authorities_that_become_garbage_are_trusted_no_more() {
    let Some(mut scene) = Scene::open("authorities").await else { return };
    let authority = Authority::new();
    let tls = Some(authority.issue(&["inner.example.com"]).options());
    let options = loadtest::backend::Options { tls, ..loadtest::backend::Options::named("v1") };
    let backend = scene.backend_with("v1", "", options).await;
    let port = free_port();
    let server = authority.issue(&["web.example.com"]);
    scene.add(&certificate_secret(&scene.name, "web", &server));
    scene.add(&policy(&scene, "v1", "ca", "hostname: inner.example.com"));
    scene.add(&scene.route("route", "- backendRefs: [{name: v1, port: 80}]\n"));
    let clients =
        "{frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}}}";
    scene.add(&format!("{}  tls: {clients}\n", gateway(&scene.name, "web", &[listener("web", port)])));
    scene.write_file("-ca", &map(&scene, "ca", &authority.pem()));
    scene.write("");
    scene.expect_status("/", 200).await;
    scene.expect_condition("Gateway", "web", "/listeners/0", "Programmed=True Programmed").await;
    let asked = backend.seen().len();
    let bad_second =
        authority.pem() + "-----BEGIN CERTIFICATE-----\naGVsbG8gd29ybGQ=\n-----END CERTIFICATE-----\n";
    for garbage in ["garbage", &bad_second, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        scene.write_file("-ca", &map(&scene, "ca", garbage));
        let place = "/ancestors/0";
        scene
            .expect_condition("BackendTLSPolicy", "v1", place, "ResolvedRefs=False InvalidCACertificateRef")
            .await;
        scene.expect_condition("BackendTLSPolicy", "v1", place, "Accepted=False NoValidCACertificate").await;
        scene
            .expect_condition("Gateway", "web", "/listeners/0", "ResolvedRefs=False InvalidCACertificateRef")
            .await;
        scene.expect_condition("Gateway", "web", "/listeners/0", "Accepted=False NoValidCACertificate").await;
        scene.expect_status("/", 500).await;
        let status = scene.instance.status().await;
        let faults: Vec<String> =
            status["faults"].as_array().unwrap().iter().map(ToString::to_string).collect();
        let ours: Vec<&String> = faults.iter().filter(|fault| fault.contains("authorities")).collect();
        assert!(ours.iter().all(|fault| fault.contains("ConfigMap authorities/ca")), "{ours:?}");
        scene.write_file("-ca", &map(&scene, "ca", &authority.pem()));
        scene.expect_status("/", 200).await;
    }
    assert!(backend.seen().len() > asked);
}
