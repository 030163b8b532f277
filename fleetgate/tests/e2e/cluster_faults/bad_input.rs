//! Objects that API validation lets pass: each hurts only itself, says what is wrong with it, and can be mended.

use serde_json::{Value, json};

use super::scene::{HTTP, Scene};
use crate::harness::{Ask, Authority, Identity, apply, ask_at, certificate_secret, kubectl};

const ROUTES: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: regex, namespace: default}
spec:
  parentRefs: [{name: web}]
  hostnames: [regex.example.com]
  rules:
  - matches: [{path: {type: RegularExpression, value: "/a(b"}}]
    backendRefs: [{name: echo, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: nobody, namespace: default}
spec:
  parentRefs: [{name: web}]
  hostnames: [nobody.example.com]
  rules: [{backendRefs: [{name: nobody, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: loop, namespace: default}
spec:
  parentRefs: [{name: web}]
  hostnames: [loop.example.com]
  rules: [{backendRefs: [{name: loop, port: 80}], timeouts: {request: 1s}}]
---
apiVersion: v1
kind: Service
metadata: {name: loop, namespace: default}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: loop, namespace: default, labels: {kubernetes.io/service-name: loop}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints: [{addresses: [192.0.2.77]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: clash, namespace: default}
spec:
  gatewayClassName: fleetgate
  addresses: [{value: 192.0.2.77}]
  listeners:
  - {name: plain, port: 80, protocol: HTTP}
  - {name: tls, port: 80, protocol: HTTPS, tls: {certificateRefs: [{name: half}]}}
  - {name: half, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: half}]}}
"#;

/// Status and reason of a condition.
fn told(conditions: &Value, kind: &str) -> (String, String) {
    let one = conditions.as_array().and_then(|all| all.iter().find(|one| one["type"] == kind));
    let text = |field: &str| one.and_then(|one| one[field].as_str()).unwrap_or("absent").to_owned();
    (text("status"), text("reason"))
}

fn says(conditions: &Value, kind: &str, status: &str, reason: &str) -> bool {
    told(conditions, kind) == (status.to_owned(), reason.to_owned())
}

pub(super) async fn all(scene: &mut Scene) {
    let load = scene.load().await;
    let [one, another] = [(); 2].map(|()| Authority::new().issue(&["half.example.com"]));
    let half = Identity { private_key: another.private_key, ..one };
    apply(&format!("{ROUTES}{}", certificate_secret("default", "half", &half)));

    let parent = |object: &Value| object["status"]["parents"][0]["conditions"].clone();
    scene
        .status("httproute", "regex", |route| says(&parent(route), "Accepted", "False", "UnsupportedValue"))
        .await;
    scene
        .status("httproute", "nobody", |route| {
            says(&parent(route), "ResolvedRefs", "False", "BackendNotFound")
        })
        .await;
    scene.answers("nobody.example.com", 500).await;
    scene
        .status("gateway", "clash", |gateway| {
            let told = |n: usize, kind: &str, status: &str, reason: &str| {
                says(&gateway["status"]["listeners"][n]["conditions"], kind, status, reason)
            };
            told(1, "Conflicted", "True", "ProtocolConflict")
                && told(2, "ResolvedRefs", "False", "InvalidCertificateRef")
                && says(&gateway["status"]["conditions"], "Programmed", "False", "AddressNotUsable")
        })
        .await;
    // Nothing but the request itself goes round.
    scene.is_told("httproute", "loop").await;
    let answer = ask_at(HTTP.parse().unwrap(), &Ask::get("loop.example.com", "/")).await.unwrap();
    assert!(answer.status >= 400, "{answer:?}");
    kubectl(&["delete", "httproute", "loop"]);
    scene.answers("loop.example.com", 404).await;

    // Mended, they serve.
    let mended = json!([{"op": "replace", "path": "/spec/rules/0/matches/0/path/value", "value": "/(a|b)?"}]);
    kubectl(&["patch", "httproute", "regex", "--type", "json", "-p", &mended.to_string()]);
    scene.answers("regex.example.com", 200).await;
    kubectl(&["delete", "gateway/clash", "httproute/regex", "httproute/nobody", "service/loop"]);
    scene.follows("bad objects").await;
    load.stop_without_failure("bad objects").await;
}
