//! CA certificates from ClusterTrustBundles (GEP-5075), of clients and of backends.

use loadtest::backend::Options;

use crate::harness::{Ask, Authority, Connection, Scene, certificate_secret, free_port, gateway, until};

/// A bundle; it has no namespace, so the scene is its signer.
fn bundle(scene: &Scene<'_>, name: &str, authority: &Authority) -> String {
    let pem: String = authority.pem().lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "---\napiVersion: certificates.k8s.io/v1\nkind: ClusterTrustBundle\n\
         metadata: {{name: 'example.com:{}:{name}'}}\n\
         spec:\n  signerName: example.com/{}\n  trustBundle: |\n{pem}",
        scene.name, scene.name
    )
}

fn reference(scene: &Scene<'_>, name: &str) -> String {
    let name = format!("example.com:{}:{name}", scene.name);
    format!("{{group: certificates.k8s.io, kind: ClusterTrustBundle, name: '{name}'}}")
}

/// A client is let in, and a backend believed, while the bundles say so, and only then.
#[tokio::test]
async fn bundles_say_who_is_trusted() {
    let Some(mut scene) = Scene::open("trust-bundles").await else { return };
    let [servers, clients, others] = [Authority::new(), Authority::new(), Authority::new()];
    let (client, host, port) = (clients.issue(&["client"]), scene.host.clone(), free_port());
    let tls = Some(servers.issue(&["inner.example.com"]).options());
    let _backend = scene.backend_with("v1", "", Options { tls, ..Options::named("v1") }).await;
    scene.parent = "{name: web}".to_owned();
    scene.add(&certificate_secret(&scene.name, "cert", &servers.issue(&[&host])));
    let listener =
        format!("{{name: https, port: {port}, protocol: HTTPS, tls: {{certificateRefs: [{{name: cert}}]}}}}");
    let validation = format!("{{caCertificateRefs: [{}]}}", reference(&scene, "clients"));
    let gateway = gateway(&scene.name, "web", &[listener]);
    scene.add(&format!("{gateway}  tls: {{frontend: {{default: {{validation: {validation}}}}}}}\n"));
    scene.add(&format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n\
         metadata: {{name: v1, namespace: {}}}\nspec:\n\
         \x20 targetRefs: [{{group: '', kind: Service, name: v1}}]\n\
         \x20 validation: {{hostname: inner.example.com, caCertificateRefs: [{}]}}\n",
        scene.name,
        reference(&scene, "servers")
    ));
    let route = scene.route("route", "- backendRefs: [{name: v1, port: 80}]\n");
    let expect = async |wanted: &str, good: fn(&Result<u16, String>) -> bool| {
        until(wanted, async || {
            let answer = async {
                let connecting = Connection::tls_as(port, &host, servers.der(), "http/1.1", Some(&client));
                let (mut connection, _) = connecting.await?;
                Ok(connection.ask(&Ask::get(&host, "/")).await?.status)
            };
            let answer: Result<u16, String> = answer.await;
            if good(&answer) { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    };
    let write = |servers: Option<&Authority>, clients: Option<&Authority>| {
        let servers = servers.map(|authority| bundle(&scene, "servers", authority)).unwrap_or_default();
        let clients = clients.map(|authority| bundle(&scene, "clients", authority)).unwrap_or_default();
        scene.write(&format!("{servers}{clients}{route}"));
    };
    write(Some(&servers), Some(&clients));
    expect("both are trusted", |answer| *answer == Ok(200)).await;
    scene.expect_condition("Gateway", "web", "/listeners/0", "ResolvedRefs=True ResolvedRefs").await;
    scene.expect_condition("BackendTLSPolicy", "v1", "/ancestors/0", "Accepted=True Accepted").await;

    write(Some(&others), Some(&clients));
    expect("the backend is not trusted any more", |answer| *answer == Ok(503)).await;
    write(None, Some(&clients));
    expect("the backend is not asked any more", |answer| answer.as_ref().is_ok_and(|s| *s >= 500)).await;
    for condition in ["Accepted=False NoValidCACertificate", "ResolvedRefs=False InvalidCACertificateRef"] {
        scene.expect_condition("BackendTLSPolicy", "v1", "/ancestors/0", condition).await;
    }

    write(Some(&servers), Some(&others));
    expect("the client is not let in any more", Result::is_err).await;
    write(Some(&servers), None);
    for condition in ["Accepted=False NoValidCACertificate", "ResolvedRefs=False InvalidCACertificateRef"] {
        scene.expect_condition("Gateway", "web", "/listeners/0", condition).await;
    }
    expect("nobody is let in", Result::is_err).await;
    write(Some(&servers), Some(&clients));
    expect("both are trusted again", |answer| *answer == Ok(200)).await;
}
