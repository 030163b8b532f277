//! TCPRoutes: a port's connections, shared by weight, closed where there is no backend.

use crate::harness::{Ask, Scene, ask, free_port, gateway, until};

fn route(scene: &Scene<'_>, name: &str, created: &str, section: &str, backends: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\n\
         metadata: {{name: {name}, namespace: {}, creationTimestamp: '{created}'}}\nspec:\n\
         \x20 parentRefs: [{{name: web, sectionName: {section}}}]\n\
         \x20 rules: [{{backendRefs: [{backends}]}}]\n",
        scene.name
    )
}

/// Status and backend of a request over a connection of its own.
async fn brief(port: u16) -> Result<(u16, String), String> {
    ask(port, &Ask::get("any.example.com", "/x")).await.map(|answer| answer.brief())
}

#[tokio::test]
async fn connections_go_to_the_backends_of_the_oldest_route() {
    let Some(mut scene) = Scene::open("tcp-routes").await else { return };
    let _backends = [scene.backend("one").await, scene.backend("two").await, scene.backend("three").await];
    let [db, half, idle] = [free_port(), free_port(), free_port()];
    let listeners = [("db", db), ("half", half), ("idle", idle)]
        .map(|(name, port)| format!("{{name: {name}, port: {port}, protocol: TCP}}"));
    let (older, newer) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    scene.write(
        &(gateway(&scene.name, "web", &listeners)
            + &route(&scene, "newer", newer, "db", "{name: three, port: 80}")
            + &route(&scene, "older", older, "db", "{name: one, port: 80}, {name: two, port: 80}")
            + &route(&scene, "half", older, "half", "{name: one, port: 80}, {name: missing, port: 80}")),
    );
    until("an answer at the port", async || brief(db).await).await;
    let mut shares = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..60 {
        let (status, backend) = brief(db).await.unwrap();
        assert_eq!(status, 200);
        *shares.entry(backend).or_default() += 1;
    }
    assert_eq!(shares.keys().collect::<Vec<_>>(), ["one", "two"], "{shares:?}");
    let (mut answered, mut closed) = (0, 0);
    while answered == 0 || closed == 0 {
        match brief(half).await {
            Ok(answer) => {
                assert_eq!(answer, (200, "one".to_owned()));
                answered += 1;
            }
            Err(_) => closed += 1,
        }
        assert!(answered + closed < 200, "{answered} answered and {closed} closed of 200");
    }
    assert!(brief(idle).await.is_err(), "no route takes it");
    for name in ["older", "newer"] {
        scene.expect_healthy("TCPRoute", name).await;
    }
    scene.expect_condition("TCPRoute", "half", "/parents/0", "ResolvedRefs=False BackendNotFound").await;
    let gateway = scene.object("Gateway", "web").await.unwrap();
    assert_eq!(gateway["status"]["listeners"][0]["attachedRoutes"], 2);
    assert_eq!(gateway["status"]["listeners"][0]["supportedKinds"][0]["kind"], "TCPRoute");
}
