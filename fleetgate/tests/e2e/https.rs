//! HTTPS listeners: certificates by server name, exchanged while clients connect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::pki_types::CertificateDer;

use crate::harness::{
    Answer, Ask, Authority, Connection, Scene, certificate_secret, free_port, gateway, until,
};

fn listener(name: &str, port: u16, hostname: &str, secret: &str) -> String {
    format!(
        "{{name: {name}, port: {port}, protocol: HTTPS, hostname: {hostname}, \
         tls: {{certificateRefs: [{{name: {secret}}}]}}}}"
    )
}

async fn ask(
    scene: &Scene<'_>,
    authority: &Authority,
    sni: &str,
    alpn: &str,
) -> Result<(Answer, CertificateDer<'static>), String> {
    let (mut connection, shown) = Connection::tls(scene.port, sni, authority.der(), alpn).await?;
    Ok((connection.ask(&Ask::get(sni, "/x")).await?, shown))
}

#[tokio::test]
async fn each_server_name_has_its_certificate() {
    let Some(mut scene) = Scene::open("https").await else { return };
    let _backends = [scene.backend("v1").await, scene.backend("v2").await];
    let authority = Authority::new();
    let [one, two] = [authority.issue(&["one.example.com"]), authority.issue(&["*.two.com"])];
    scene.port = free_port();
    let listeners = [
        listener("one", scene.port, "one.example.com", "one"),
        listener("two", scene.port, "'*.two.com'", "two"),
    ];
    scene.parent = "{name: web}".to_owned();
    scene.write(
        &(certificate_secret(&scene.name, "one", &one)
            + &certificate_secret(&scene.name, "two", &two)
            + &gateway(&scene.name, "web", &listeners)
            + &scene.route_for("one", "[one.example.com]", "- backendRefs: [{name: v1, port: 80}]\n")
            + &scene.route_for("two", "['*.two.com']", "- backendRefs: [{name: v2, port: 80}]\n")),
    );
    for (sni, identity, pod) in [("one.example.com", &one, "v1"), ("any.two.com", &two, "v2")] {
        for (alpn, client) in [("http/1.1", "HTTP/1.1"), ("h2", "HTTP/2.0")] {
            let (answer, shown) = until(&format!("{sni} over {client}"), async || {
                ask(&scene, &authority, sni, alpn).await.and_then(|(answer, shown)| match answer.status {
                    200 => Ok((answer, shown)),
                    _ => Err(format!("{answer:?}")),
                })
            })
            .await;
            let seen = answer.echo();
            assert_eq!((seen.pod.as_str(), seen.host.as_str()), (pod, sni));
            assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
            assert!(shown == identity.der, "{sni} got another certificate");
        }
    }
    scene.expect_condition("Gateway", "web", "/listeners/0", "Programmed=True Programmed").await;
    scene.expect_condition("Gateway", "web", "/listeners/0", "ResolvedRefs=True ResolvedRefs").await;
    let stranger = ask(&scene, &authority, "stranger.org", "h2").await;
    assert!(stranger.is_err(), "no listener takes it: {:?}", stranger.map(|(answer, _)| answer));
}

/// While clients connect all the time, a new certificate takes the place of the old.
#[tokio::test]
async fn a_certificate_is_exchanged_without_a_failed_handshake() {
    let Some(mut scene) = Scene::open("rotation").await else { return };
    let _backend = scene.backend("v1").await;
    let authority = Arc::new(Authority::new());
    let host = scene.host.clone();
    let identities = [authority.issue(&[&host]), authority.issue(&[&host]), authority.issue(&[&host])];
    scene.port = free_port();
    scene.parent = "{name: web}".to_owned();
    let objects = gateway(&scene.name, "web", &[listener("https", scene.port, &host, "cert")])
        + &scene.route("route", "- backendRefs: [{name: v1, port: 80}]\n");
    scene.write(&objects);
    scene.write_file("-cert", &certificate_secret(&scene.name, "cert", &identities[0]));
    until("the first certificate", async || ask(&scene, &authority, &host, "h2").await.map(drop)).await;

    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = ["h2", "http/1.1"]
        .into_iter()
        .map(|alpn| {
            let (stop, authority) = (Arc::clone(&stop), Arc::clone(&authority));
            let (port, host) = (scene.port, host.clone());
            tokio::spawn(async move {
                let mut shown = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let (mut connection, der) =
                        Connection::tls(port, &host, authority.der(), alpn).await.unwrap();
                    let answer = connection.ask(&Ask::get(&host, "/")).await.unwrap();
                    assert_eq!(answer.brief(), (200, "v1".to_owned()));
                    shown.push(der);
                }
                shown
            })
        })
        .collect();
    for identity in &identities[1..] {
        scene.write_file("-cert", &certificate_secret(&scene.name, "cert", identity));
        until("the new certificate is shown", async || {
            let (_, shown) = ask(&scene, &authority, &host, "h2").await?;
            if shown == identity.der { Ok(()) } else { Err("the old one is".to_owned()) }
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let shown = client.await.unwrap();
        let number =
            |der: &CertificateDer<'_>| identities.iter().position(|identity| identity.der == *der).unwrap();
        let numbers: Vec<usize> = shown.iter().map(number).collect();
        assert!(numbers.is_sorted(), "an old certificate came back: {numbers:?}");
        assert!(!numbers.is_empty());
    }
}

/// Without a usable certificate a listener does not serve, says why, and heals.
#[tokio::test]
async fn a_bad_certificate_withdraws_its_listener_only() {
    let Some(mut scene) = Scene::open("bad-cert").await else { return };
    let _backend = scene.backend("v1").await;
    let authority = Authority::new();
    let [good, mended] = [authority.issue(&["good.example.com"]), authority.issue(&["bad.example.com"])];
    let mut mixed = authority.issue(&["bad.example.com"]);
    mixed.private_key = good.private_key.clone();
    scene.port = free_port();
    scene.parent = "{name: web}".to_owned();
    let listeners = [
        listener("good", scene.port, "good.example.com", "good"),
        listener("bad", scene.port, "bad.example.com", "bad"),
    ];
    scene.add(&certificate_secret(&scene.name, "good", &good));
    scene.add(&gateway(&scene.name, "web", &listeners));
    let rules = "- backendRefs: [{name: v1, port: 80}]\n";
    scene.write(&scene.route_for("route", "[good.example.com, bad.example.com]", rules));
    let serves = async |sni: &str| {
        let (answer, _) = ask(&scene, &authority, sni, "h2").await?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    };
    until("the good one serves", async || serves("good.example.com").await).await;
    let invalid = "ResolvedRefs=False InvalidCertificateRef";
    scene.expect_condition("Gateway", "web", "/listeners/1", invalid).await;
    assert!(serves("bad.example.com").await.is_err());

    scene.write_file("-bad", &certificate_secret(&scene.name, "bad", &mixed));
    scene.expect_condition("Gateway", "web", "/listeners/1", invalid).await;
    scene.write_file("-bad", &certificate_secret(&scene.name, "bad", &mended));
    until("the mended one serves", async || serves("bad.example.com").await).await;
    scene.expect_condition("Gateway", "web", "/listeners/1", "Programmed=True Programmed").await;
    serves("good.example.com").await.unwrap();
}
