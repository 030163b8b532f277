//! Requests over a connection that was opened for another listener's host (GEP-3567).

use crate::harness::{Ask, Authority, Connection, Scene, certificate_secret, free_port, gateway, until};

/// Server name, Host, status and backend.
const TABLE: &[(&str, &str, u16, &str)] = &[
    ("example.org", "example.org", 200, "v1"),
    ("example.org", "second-example.org", 421, ""),
    ("example.org", "unknown-example.org", 404, ""),
    ("second-example.org", "second-example.org", 200, "v2"),
    ("second-example.org", "example.org", 421, ""),
    ("second-example.org", "unknown-example.org", 421, ""),
    ("third-example.wildcard.org", "third-example.wildcard.org", 200, "v3"),
    ("third-example.wildcard.org", "fifth-example.wildcard.org", 200, "v3"),
    ("third-example.wildcard.org", "fourth-example.wildcard.org", 421, ""),
    ("third-example.wildcard.org", "second-example.org", 421, ""),
    ("third-example.wildcard.org", "unknown-example.org", 421, ""),
    ("fourth-example.wildcard.org", "fourth-example.wildcard.org", 200, "v4"),
    ("fourth-example.wildcard.org", "fifth-example.wildcard.org", 421, ""),
    ("unknown-example.org", "example.org", 200, "v1"),
    ("unknown-example.org", "unknown-example.org", 404, ""),
];

#[tokio::test]
async fn are_answered_421() {
    let Some(mut scene) = Scene::open("misdirected").await else { return };
    scene.port = free_port();
    let authority = Authority::new();
    let names = ["example.org", "second-example.org", "unknown-example.org", "*.wildcard.org"];
    let identity = authority.issue(&names);
    let listener = |name: &str, hostname: &str| {
        format!(
            "{{name: {name}, port: {}, protocol: HTTPS{hostname}, tls: {{certificateRefs: [{{name: cert}}]}}}}",
            scene.port
        )
    };
    let listeners = [
        listener("any", ""),
        listener("second", ", hostname: second-example.org"),
        listener("wildcard", ", hostname: '*.wildcard.org'"),
        listener("fourth", ", hostname: fourth-example.wildcard.org"),
    ];
    let mut objects =
        certificate_secret(&scene.name, "cert", &identity) + &gateway(&scene.name, "web", &listeners);
    let mut backends = Vec::new();
    for (number, section, hostnames) in [
        (1, "any", "[example.org]"),
        (2, "second", "[]"),
        (
            3,
            "wildcard",
            "[third-example.wildcard.org, fourth-example.wildcard.org, fifth-example.wildcard.org]",
        ),
        (4, "fourth", "[third-example.wildcard.org, fourth-example.wildcard.org]"),
    ] {
        backends.push(scene.backend(&format!("v{number}")).await);
        scene.parent = format!("{{name: web, sectionName: {section}}}");
        let rules = format!("- backendRefs: [{{name: v{number}, port: 80}}]\n");
        objects += &scene.route_for(&format!("r{number}"), hostnames, &rules);
    }
    scene.write(&objects);
    for (sni, host, status, backend) in TABLE {
        for alpn in ["h2", "http/1.1"] {
            until(&format!("SNI {sni}, Host {host}, {alpn}: {status} {backend}"), async || {
                let (mut connection, _) = Connection::tls(scene.port, sni, authority.der(), alpn).await?;
                // The first request is the connection's own.
                connection.ask(&Ask::get(sni, "/")).await?;
                let answer = connection.ask(&Ask::get(host, "/")).await?;
                if answer.brief() == (*status, (*backend).to_owned()) {
                    Ok(())
                } else {
                    Err(format!("{answer:?}"))
                }
            })
            .await;
        }
    }
    let overlaps = "OverlappingTLSConfig=True OverlappingHostnames";
    scene.expect_condition("Gateway", "web", "/listeners/2", overlaps).await;
    scene.expect_condition("Gateway", "web", "/listeners/2", "Programmed=True Programmed").await;
}
