//! Certificates that are replaced while they are in use.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::load::HOST;
use super::proxies;
use super::scene::{PATIENCE, Scene};
use crate::harness::{Authority, apply, certificate_secret, kubectl, object, patch, until_within};

const NS: [&str; 2] = ["-n", "fleetgate-system"];

pub(super) async fn all(scene: &mut Scene) {
    a_gateways_certificate(scene).await;
    the_authority_of_xds(scene).await;
}

/// Clients connect all the time: none fails, and soon all are shown the new one.
async fn a_gateways_certificate(scene: &mut Scene) {
    for _ in 0..3 {
        let load = scene.load().await;
        let new = scene.authority.issue(&[HOST]);
        apply(&certificate_secret("default", "serving", &new));
        until_within(PATIENCE, "the new certificate is shown", async || {
            let probe = scene.load().await;
            probe.more(10).await;
            let shown = probe.stop_without_failure("a look at the certificate").await.certificates;
            if shown.into_iter().eq([new.der.to_vec()]) { Ok(()) } else { Err("the old one".to_owned()) }
        })
        .await;
        let met = load.stop_without_failure("a certificate replaced").await;
        assert_eq!(met.certificates.len(), 2, "the old one and the new one");
    }
}

/// Another authority signs for proxies and control plane; the old one stays trusted until all have followed.
async fn the_authority_of_xds(scene: &mut Scene) {
    let (load, starts) = (scene.load().await, proxies::starts());
    let identity = || object("secret", "gloo-proxy-web")["data"]["tls.crt"].clone();
    let (old, before) = (
        kubectl(
            &[&NS[..], &["get", "secret", "fleetgate-xds-ca", "-o", "jsonpath={.data.tls\\.crt}"]].concat(),
        ),
        identity(),
    );
    let new = Authority::new();
    let data = json!({"data": {
        "tls.crt": STANDARD.encode(new.pem()), "tls.key": STANDARD.encode(new.key_pem()), "ca.crt": old,
    }});
    patch("secret", "fleetgate-xds-ca", &NS, &data);
    until_within(PATIENCE, "the proxies' certificate is another one", async || {
        if identity() == before { Err("it is not".to_owned()) } else { Ok(()) }
    })
    .await;
    scene.follows("another authority of xDS").await;

    // Who connects now, does so under the new authority.
    for replica in 0..2 {
        scene.restart(replica);
    }
    scene.follows("new connections under it").await;
    patch("secret", "fleetgate-xds-ca", &NS, &json!({"data": {"ca.crt": STANDARD.encode(new.pem())}}));
    scene.follows("the end of the old one").await;
    assert_eq!(proxies::starts(), starts, "no Envoy was started anew for it");
    load.stop_without_failure("another authority of xDS").await;
}
