//! A backend is rolled out under traffic, without a preStop hook.

use super::scene::Scene;

/// Turns of the rollout: with some luck a few say nothing.
const ROLLOUTS: usize = 9;
const BACKEND: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: colours, namespace: default}
spec:
  replicas: 3
  selector: {matchLabels: {app: colours}}
  template:
    metadata: {labels: {app: colours}}
    spec:
      containers:
      - name: colours
        image: sds
        args: [--listen, '0.0.0.0:3000', --name, colours, --finish]
        readinessProbe: {tcpSocket: {port: 3000}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: colours, namespace: default}
spec: {selector: {app: colours}, ports: [{name: http, port: 80, targetPort: 3000}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: echo, namespace: default}
spec:
  parentRefs: [{name: web}]
  rules: [{backendRefs: [{name: colours, port: 80}]}]
";

/// Its pods close their port when they are told to end, before the news of it is everywhere, and answer what they have.
/// (One that cuts what it has costs that: it is never sent again by itself.)
#[test]
fn a_rollout_of_a_backend_without_a_hook_costs_no_request() {
    let Some(scene) = Scene::new() else { return };
    scene.bed.shell(&format!("kubectl apply -f - <<'END'\n{BACKEND}END"));
    scene.bed.shell("kubectl rollout status deployment/colours --timeout=$PATIENCE");
    scene.until("curl -s -m 5 http://192.0.2.77/ | grep -q '\"pod\": \"colours\"'");
    let traffic = scene.traffic();
    for _ in 0..ROLLOUTS {
        scene.bed.shell("kubectl rollout restart deployment/colours; kubectl rollout status deployment/colours --timeout=$PATIENCE");
    }
    traffic.stop_without_failure("nine rollouts of a backend");
}
