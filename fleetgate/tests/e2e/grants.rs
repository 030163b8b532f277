//! ReferenceGrants, given and taken away.

use crate::harness::{Scene, backend_service};

fn grant(from: &str, to: &str, name: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {{name: {name}, namespace: {to}}}
spec:
  from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {from}}}]
  to: [{{group: '', kind: Service}}]
"
    )
}

#[tokio::test]
async fn of_backends_in_another_namespace() {
    let Some(scene) = Scene::open("grants").await else { return };
    let backend = loadtest::backend::Backend::start(loadtest::backend::Options::named("far")).await.unwrap();
    let rules = "- backendRefs: [{name: far, namespace: grants-far, port: 80}]\n";
    scene.apply(&(backend_service("grants-far", "far", &backend) + &scene.route("route", rules))).await;
    assert_eq!(scene.get("/").await.status, 500);
    let refused = "ResolvedRefs=False RefNotPermitted";
    scene.expect_condition("HTTPRoute", "route", "/parents/0", refused).await;

    for _ in 0..2 {
        scene.write_file("-grant", &grant("grants", "grants-far", "allow"));
        assert_eq!(scene.expect_status("/", 200).await.echo().pod, "far");
        scene.expect_healthy_route("route").await;
        scene.remove_file("-grant");
        scene.expect_status("/", 500).await;
        scene.expect_condition("HTTPRoute", "route", "/parents/0", refused).await;
    }

    // A grant for another namespace, or from another, is none.
    let others = grant("somebody", "grants-far", "from") + "---\n" + &grant("grants", "somewhere", "to");
    scene.write_file("-grant", &others);
    scene.apply(&(backend_service("grants-far", "far", &backend) + &scene.route("route", rules))).await;
    assert_eq!(scene.get("/").await.status, 500);
}
