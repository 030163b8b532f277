//! BackendTLSPolicy: TLS to backends, verified, and never plain text instead.

use loadtest::backend::{Backend, Options};

use crate::harness::{Authority, Scene};

/// A TLS backend and its Service.
async fn backend(scene: &mut Scene<'_>, name: &str, authority: &Authority, names: &[&str]) -> Backend {
    let tls = Some(authority.issue(names).options());
    scene.backend_with(name, "", Options { tls, ..Options::named(name) }).await
}

pub(crate) fn authority_map(scene: &Scene<'_>, name: &str, authority: &Authority) -> String {
    let pem: String = authority.pem().lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {}}}\n\
         data:\n  ca.crt: |\n{pem}",
        scene.name
    )
}

pub(crate) fn policy(scene: &Scene<'_>, service: &str, authority: &str, validation: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n\
         metadata: {{name: {service}, namespace: {}}}\nspec:\n\
         \x20 targetRefs: [{{group: '', kind: Service, name: {service}}}]\n\
         \x20 validation: {{caCertificateRefs: [{{group: '', kind: ConfigMap, name: {authority}}}], {validation}}}\n",
        scene.name
    )
}

fn rules(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| {
            format!(
                "- matches: [{{path: {{value: /{name}}}}}]\n  backendRefs: [{{name: {name}, port: 80}}]\n"
            )
        })
        .collect()
}

#[tokio::test]
async fn backends_are_asked_by_name_and_verified() {
    let Some(mut scene) = Scene::open("backend-tls").await else { return };
    let [ours, theirs] = [Authority::new(), Authority::new()];
    let inner = "hostname: inner.example.com";
    let sans =
        "hostname: inner.example.com, subjectAltNames: [{type: Hostname, hostname: other.example.com}]";
    let good = backend(&mut scene, "good", &ours, &["inner.example.com"]).await;
    let san = backend(&mut scene, "san", &ours, &["other.example.com"]).await;
    let refused = [
        backend(&mut scene, "wrong-ca", &theirs, &["inner.example.com"]).await,
        backend(&mut scene, "wrong-name", &ours, &["other.example.com"]).await,
        backend(&mut scene, "wrong-san", &ours, &["inner.example.com"]).await,
    ];
    let names = ["good", "san", "wrong-ca", "wrong-name", "wrong-san"];
    let objects = authority_map(&scene, "ca", &ours)
        + &policy(&scene, "good", "ca", inner)
        + &policy(&scene, "san", "ca", sans)
        + &policy(&scene, "wrong-ca", "ca", inner)
        + &policy(&scene, "wrong-name", "ca", inner)
        + &policy(&scene, "wrong-san", "ca", sans)
        + &scene.route("route", &rules(&names));
    scene.apply(&objects).await;
    for (path, backend) in [("/good", &good), ("/san", &san)] {
        let answer = scene.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let tls = backend.seen().pop().unwrap().tls.unwrap();
        assert_eq!(tls.sni.as_deref(), Some("inner.example.com"), "{path}");
        assert_eq!(answer.echo().host, scene.host, "{path}");
    }
    for path in ["/wrong-ca", "/wrong-name", "/wrong-san"] {
        assert!(scene.get(path).await.status >= 500, "{path}");
    }
    assert!(refused.iter().all(|backend| backend.seen().is_empty()));
    for name in names {
        scene.expect_condition("BackendTLSPolicy", name, "/ancestors/0", "Accepted=True Accepted").await;
    }
}

/// A policy whose CA is missing closes the Service; a plain-text backend must not be asked.
#[tokio::test]
async fn without_a_ca_the_service_is_closed_until_there_is_one() {
    let Some(mut scene) = Scene::open("closed").await else { return };
    let authority = Authority::new();
    let plain = scene.backend("plain").await;
    let secured = backend(&mut scene, "secured", &authority, &["inner.example.com"]).await;
    let inner = "hostname: inner.example.com";
    let policies = policy(&scene, "plain", "ca", inner) + &policy(&scene, "secured", "ca", inner);
    let route = scene.route("route", &rules(&["plain", "secured"]));
    scene.apply(&(policies.clone() + &route)).await;
    for path in ["/plain", "/secured"] {
        let status = scene.get(path).await.status;
        assert!((500..600).contains(&status), "{path}: {status}");
    }
    assert!(plain.seen().is_empty());
    let place = "/ancestors/0";
    let invalid = ["Accepted=False NoValidCACertificate", "ResolvedRefs=False InvalidCACertificateRef"];
    for condition in invalid {
        scene.expect_condition("BackendTLSPolicy", "secured", place, condition).await;
    }

    let with_ca = authority_map(&scene, "ca", &authority) + &policies + &route;
    scene.apply(&with_ca).await;
    scene.expect_status("/secured", 200).await;
    assert!(secured.seen().pop().unwrap().tls.is_some());
    scene.expect_condition("BackendTLSPolicy", "secured", place, "Accepted=True Accepted").await;
    let status = scene.get("/plain").await.status;
    assert!((500..600).contains(&status), "TLS to a plain backend: {status}");

    scene.apply(&(policies + &route)).await;
    scene.expect(&crate::harness::Ask::get(&scene.host, "/secured"), |answer| answer.status >= 500).await;
    scene.apply(&route).await;
    scene.expect_status("/plain", 200).await;
    assert_eq!(plain.seen().len(), 1);
}

/// Without policies the same Service is asked in plain text: a change of authority is followed live.
#[tokio::test]
async fn another_authority_is_followed() {
    let Some(mut scene) = Scene::open("other-authority").await else { return };
    let [ours, theirs] = [Authority::new(), Authority::new()];
    let _backend = backend(&mut scene, "v1", &ours, &["inner.example.com"]).await;
    let objects =
        policy(&scene, "v1", "ca", "hostname: inner.example.com") + &scene.route("route", &rules(&["v1"]));
    scene.apply(&(authority_map(&scene, "ca", &theirs) + &objects)).await;
    assert!(scene.get("/v1").await.status >= 500);
    scene.apply(&(authority_map(&scene, "ca", &ours) + &objects)).await;
    scene.expect_status("/v1", 200).await;
}

/// Aimed at a port that the Service does not have, or at no Service: nothing goes out in plain text instead.
#[tokio::test]
async fn a_policy_that_aims_beside_is_told_and_closes_its_service() {
    let Some(mut scene) = Scene::open("aims-beside").await else { return };
    let plain = scene.backend("plain").await;
    let aiming = |at: &str| {
        policy(&scene, "plain", "ca", "hostname: inner.example.com").replace("name: plain}]", at)
            + &authority_map(&scene, "ca", &Authority::new())
    };
    let route = scene.route("route", &rules(&["plain"]));
    scene.apply(&(aiming("name: plain, sectionName: htps}]") + &route)).await;
    assert_eq!(scene.get("/plain").await.status, 500);
    assert!(plain.seen().is_empty());
    let target_not_found = "Accepted=False TargetNotFound";
    scene.expect_condition("BackendTLSPolicy", "plain", "/ancestors/0", target_not_found).await;

    scene.apply(&(aiming("name: plan}]") + &route)).await;
    assert_eq!(scene.get("/plain").await.brief(), (200, "plain".to_owned()), "no policy is for it");
    scene.expect_condition("BackendTLSPolicy", "plain", "/ancestors/0", target_not_found).await;
}
