//! Certificates of clients, validated by port, and the certificate that a Gateway shows to backends.

use loadtest::backend::{Options, TlsOptions};

use crate::backend_tls::{authority_map, policy};
use crate::harness::{
    Ask, Authority, Connection, Identity, Scene, certificate_secret, free_port, gateway, until,
};

fn https(name: &str, port: u16) -> String {
    format!("{{name: {name}, port: {port}, protocol: HTTPS, tls: {{certificateRefs: [{{name: cert}}]}}}}")
}

/// A Gateway with `spec.tls` in flow style.
fn gateway_tls(scene: &Scene<'_>, name: &str, tls: &str, listeners: &[String]) -> String {
    format!("{}  tls: {tls}\n", gateway(&scene.name, name, listeners))
}

/// A scene with an authority of servers and two of clients, and who comes to it.
struct Clients {
    servers: Authority,
    ours: Identity,
    theirs: Identity,
}

impl Clients {
    /// The answer to a client with a certificate, or why there is none.
    async fn ask(&self, host: &str, port: u16, client: Option<&Identity>) -> Result<u16, String> {
        let (mut connection, _) =
            Connection::tls_as(port, host, self.servers.der(), "http/1.1", client).await?;
        Ok(connection.ask(&Ask::get(host, "/")).await?.status)
    }

    /// Waits until, at a port, clients with our, with their, and without a certificate are let in or not.
    async fn expect(&self, host: &str, port: u16, wanted: [bool; 3]) {
        until(&format!("clients of port {port} are let in: {wanted:?}"), async || {
            let mut answers = Vec::new();
            for client in [Some(&self.ours), Some(&self.theirs), None] {
                answers.push(self.ask(host, port, client).await);
            }
            let let_in: Vec<bool> = answers.iter().map(|answer| *answer == Ok(200)).collect();
            if let_in == wanted { Ok(()) } else { Err(format!("{answers:?}")) }
        })
        .await;
    }
}

/// By default a certificate of ours is needed; one port takes theirs; one port takes any and none.
#[tokio::test]
async fn clients_are_validated_by_port() {
    let Some(mut scene) = Scene::open("client-certificates").await else { return };
    let _backend = scene.backend("v1").await;
    let [servers, ours, theirs] = [Authority::new(), Authority::new(), Authority::new()];
    let clients = Clients { ours: ours.issue(&["ours"]), theirs: theirs.issue(&["theirs"]), servers };
    let host = scene.host.clone();
    scene.parent = "{name: web}".to_owned();
    scene.add(&certificate_secret(&scene.name, "cert", &clients.servers.issue(&[&host])));
    let ports = [free_port(), free_port(), free_port()];
    let refs = |name: &str| format!("caCertificateRefs: [{{group: '', kind: ConfigMap, name: {name}}}]");
    let tls = format!(
        "{{frontend: {{default: {{validation: {{{}}}}}, perPort: [\
         {{port: {}, tls: {{validation: {{{}}}}}}}, \
         {{port: {}, tls: {{validation: {{mode: AllowInsecureFallback, {}}}}}}}]}}}}",
        refs("ours"),
        ports[1],
        refs("theirs"),
        ports[2],
        refs("ours")
    );
    let listeners = ["default", "theirs", "any"];
    let listeners: Vec<String> = listeners.iter().zip(ports).map(|(name, port)| https(name, port)).collect();
    scene.add(&gateway_tls(&scene, "web", &tls, &listeners));
    scene.add(&authority_map(&scene, "theirs", &theirs));
    let route = scene.route("route", "- backendRefs: [{name: v1, port: 80}]\n");
    scene.write(&(authority_map(&scene, "ours", &ours) + &route));
    clients.expect(&host, ports[0], [true, false, false]).await;
    clients.expect(&host, ports[1], [false, true, false]).await;
    clients.expect(&host, ports[2], [true, true, true]).await;
    let insecure = "InsecureFrontendValidationMode=True ConfigurationChanged";
    scene.expect_condition("Gateway", "web", "", insecure).await;
    scene.expect_condition("Gateway", "web", "/listeners/0", "Programmed=True Programmed").await;

    // Another authority under the same name.
    scene.write(&(authority_map(&scene, "ours", &theirs) + &route));
    clients.expect(&host, ports[0], [false, true, false]).await;

    // None: what it alone validates closes, in either mode.
    scene.write(&route);
    clients.expect(&host, ports[0], [false; 3]).await;
    clients.expect(&host, ports[2], [false; 3]).await;
    clients.expect(&host, ports[1], [false, true, false]).await;
    for condition in ["Accepted=False NoValidCACertificate", "ResolvedRefs=False InvalidCACertificateRef"] {
        scene.expect_condition("Gateway", "web", "/listeners/0", condition).await;
    }
    scene.expect_condition("Gateway", "web", "", "Accepted=True ListenersNotValid").await;
}

/// One backend, two Gateways: it sees the certificate of the one that has one.
#[tokio::test]
async fn a_gateway_shows_its_own_certificate_to_backends() {
    let Some(mut scene) = Scene::open("shown-to-backends").await else { return };
    let [servers, ours] = [Authority::new(), Authority::new()];
    let identity = servers.issue(&["inner.example.com"]);
    let tls = TlsOptions { client_ca: Some(ours.pem()), ..identity.options() };
    let backend = scene.backend_with("v1", "", Options { tls: Some(tls), ..Options::named("v1") }).await;
    scene.parent = "{name: web}, {name: shared, namespace: infra}".to_owned();
    let (shared, port) = (scene.port, free_port());
    let listener = format!("{{name: http, port: {port}, protocol: HTTP}}");
    let reference = "{backend: {clientCertificateRef: {name: client}}}";
    scene.add(&gateway_tls(&scene, "web", reference, &[listener]));
    scene.add(&authority_map(&scene, "ca", &servers));
    scene.add(&policy(&scene, "v1", "ca", "hostname: inner.example.com"));
    scene.write(&scene.route("route", "- backendRefs: [{name: v1, port: 80}]\n"));
    let seen_by = async |port: u16, wanted: Option<&str>| {
        until(&format!("the backend sees {wanted:?} from port {port}"), async || {
            let answer = crate::harness::ask(port, &Ask::get(&scene.host, "/")).await?;
            if answer.status != 200 {
                return Err(format!("{answer:?}"));
            }
            let seen = backend.seen().pop().and_then(|echo| echo.tls).and_then(|tls| tls.client_cert_subject);
            if seen.as_deref() == wanted { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
    };
    let invalid = "ResolvedRefs=False InvalidClientCertificateRef";
    for (name, subject) in [("first", "CN=first"), ("second", "CN=second")] {
        seen_by(port, None).await;
        scene.expect_condition("Gateway", "web", "", invalid).await;
        scene.expect_condition("Gateway", "web", "", "Programmed=True Programmed").await;
        scene.write_file("-client", &certificate_secret(&scene.name, "client", &ours.issue(&[name])));
        seen_by(port, Some(subject)).await;
        scene.expect_condition("Gateway", "web", "", "ResolvedRefs=True ResolvedRefs").await;
        seen_by(shared, None).await;
        scene.remove_file("-client");
    }
    seen_by(port, None).await;
}
