//! Objects that others write at the same time, or that go: with their namespace, with their definition.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use super::scene::{PATIENCE, Scene};
use crate::harness::{ECHO, Upstream, apply, is_established, kubectl, object, patch, until_within, within};

const DOOMED: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: doomed}
---
apiVersion: gateway.gloo.solo.io/v1alpha1
kind: GatewayParameters
metadata: {name: inside, namespace: doomed}
spec: {kube: {podTemplate: {gracefulShutdown: {enabled: true, sleepTimeSeconds: 1}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: inside, namespace: doomed}
spec:
  gatewayClassName: fleetgate
  infrastructure: {parametersRef: {group: gateway.gloo.solo.io, kind: GatewayParameters, name: inside}}
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: crossing, namespace: default}
spec:
  parentRefs: [{name: web}]
  hostnames: [crossing.example.com]
  rules: [{backendRefs: [{name: echo, namespace: doomed, port: 80}]}]
"#;

const GRANT: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: all, namespace: doomed}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}]
  to: [{group: "", kind: Service}]
"#;

pub(super) async fn all(scene: &mut Scene) {
    statuses_have_other_writers(scene).await;
    let load = scene.load().await;
    let inside = ECHO.replace("namespace: default", "namespace: doomed").replace("name: web", "name: inside");
    apply(&format!("{DOOMED}---\n{inside}---\n{GRANT}"));
    scene.answers("crossing.example.com", 200).await;
    a_version_is_served_no_more(scene).await;
    definitions_go(scene).await;
    a_namespace_goes(scene).await;
    load.stop_without_failure("definitions and a namespace that go").await;
    routes_go_with_their_definition(scene).await;
}

/// Each write of somebody else makes one of ours a conflict.
async fn statuses_have_other_writers(scene: &mut Scene) {
    let load = scene.load().await;
    let theirs = json!({
        "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "theirs"},
        "controllerName": "example.com/other",
        "conditions": [{"type": "Accepted", "status": "True", "reason": "Fine", "message": "", "observedGeneration": 1,
                        "lastTransitionTime": "2020-01-01T00:00:00Z"}],
    });
    let ours = object("httproute", "probe")["status"]["parents"][0].clone();
    patch("httproute", "probe", &["--subresource=status"], &json!({"status": {"parents": [theirs, ours]}}));
    let before = scene.conflicts().await;
    let writing = tokio::spawn(write_without_a_pause());
    until_within(PATIENCE, "a write of ours is refused because of another", async || {
        let host = scene.edit();
        scene.answers(&host, 200).await;
        if scene.conflicts().await > before { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    writing.abort();
    scene.follows("conflicts").await;
    assert_eq!(object("httproute", "probe")["status"]["parents"][0], theirs);
    load.stop_without_failure("conflicts").await;
}

async fn write_without_a_pause() {
    let upstream = Upstream::of_kubeconfig();
    for number in 0.. {
        let patch = json!({"metadata": {"annotations": {"example.com/number": number.to_string()}}});
        let request =
            Request::patch("/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/probe")
                .header("host", "127.0.0.1")
                .header("content-type", "application/merge-patch+json")
                .body(Full::<Bytes>::from(patch.to_string()));
        let answer = upstream.send(request.unwrap()).await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }
}

fn definition(plural: &str) -> String {
    format!("{plural}.gateway.networking.k8s.io")
}

/// Serves a version of a definition, or not.
fn serve(plural: &str, version: &str, served: bool) {
    let name = definition(plural);
    let versions = object("crd", &name)["spec"]["versions"].clone();
    let at = versions.as_array().unwrap().iter().position(|one| one["name"] == version).unwrap();
    let patch = json!([{"op": "replace", "path": format!("/spec/versions/{at}/served"), "value": served}]);
    kubectl(&["patch", "crd", &name, "--type", "json", "-p", &patch.to_string()]);
}

/// Reading and writing go on in the version that is left.
async fn a_version_is_served_no_more(scene: &mut Scene) {
    for plural in ["httproutes", "referencegrants"] {
        serve(plural, "v1", false);
    }
    let kind = "httproutes.v1beta1.gateway.networking.k8s.io";
    until_within(PATIENCE, "v1beta1 is served", async || {
        let found = std::process::Command::new("kubectl").args(["get", kind]).output().unwrap();
        if found.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&found.stderr).into()) }
    })
    .await;
    let host = scene.edit_as(kind);
    scene.answers(&host, 200).await;
    scene.is_told(kind, "probe").await;
    scene.answers("crossing.example.com", 200).await;
    for plural in ["httproutes", "referencegrants"] {
        serve(plural, "v1", true);
    }
    scene.follows("a version that was served no more").await;
}

/// Deletes a definition; it can be made again of what this returns.
fn delete_definition(plural: &str) -> String {
    let name = definition(plural);
    let found = object("crd", &name);
    kubectl(&["delete", "crd", &name, &within()]);
    let metadata = json!({"name": name, "annotations": found["metadata"]["annotations"]});
    json!({"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": metadata, "spec": found["spec"]})
        .to_string()
}

async fn make_definition(plural: &str, text: &str) {
    apply(text);
    is_established(&definition(plural)).await;
}

/// With a definition go its objects, and only they.
async fn definitions_go(scene: &mut Scene) {
    let plurals = ["referencegrants", "backendtlspolicies"];
    let definitions = plurals.map(delete_definition);
    scene.answers("crossing.example.com", 500).await;
    scene.follows("definitions that went").await;
    for (plural, text) in plurals.iter().zip(&definitions) {
        make_definition(plural, text).await;
    }
    apply(GRANT);
    scene.answers("crossing.example.com", 200).await;
}

async fn a_namespace_goes(scene: &mut Scene) {
    kubectl(&["wait", "gateway/inside", "-n", "doomed", "--for=condition=Programmed", &within()]);
    kubectl(&["delete", "namespace", "doomed", &within()]);
    scene.answers("crossing.example.com", 500).await;
    let unresolved = |route: &Value| {
        let conditions = route["status"]["parents"][0]["conditions"].as_array();
        conditions.is_some_and(|all| {
            all.iter().any(|one| one["type"] == "ResolvedRefs" && one["status"] == "False")
        })
    };
    scene.status("httproute", "crossing", unresolved).await;
    kubectl(&["delete", "httproute", "crossing"]);
    scene.follows("a namespace that went").await;
}

/// The server deletes the routes, so nobody is routed; and nothing else is amiss.
async fn routes_go_with_their_definition(scene: &mut Scene) {
    let load = scene.load().await;
    let text = delete_definition("httproutes");
    scene.answers(super::load::HOST, 404).await;
    scene.status("gateway", "web", |gateway| gateway["status"]["listeners"][0]["attachedRoutes"] == 0).await;
    make_definition("httproutes", &text).await;
    scene.apply_routes();
    scene.answers(super::load::HOST, 200).await;
    scene.follows("the definition of routes that went and came").await;
    let met = load.stop().await;
    let strange: Vec<_> =
        met.failures.iter().filter(|failure| !failure.starts_with("Answer { status: 404")).collect();
    assert!(strange.is_empty(), "{} of {}, first {}", strange.len(), met.answers, strange[0]);
}
