//! Proxies that are deployed for Gateways: made, put right, drained, taken away.

use std::path::Path;
use std::process::Child;

use serde_json::{Value, json};

use crate::harness::{Bed, CLASS, ECHO, ECHO_ADDRESS};

const GATEWAY: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: default}
spec:
  gatewayClassName: fleetgate
  infrastructure:
    labels: {team: a}
    annotations: {note: b}
    parametersRef: {group: gateway.gloo.solo.io, kind: GatewayParameters, name: web}
  addresses: [{value: 192.0.2.77}]
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.gloo.solo.io/v1alpha1
kind: GatewayParameters
metadata: {name: web, namespace: default}
spec:
  kube:
    podTemplate: {gracefulShutdown: {enabled: true, sleepTimeSeconds: 2}}
    podDisruptionBudget: {maxUnavailable: 1}
"#;

/// Containers beside Envoy, and a probe that k8sgateway's users know.
const MESH: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: mesh, namespace: default}
spec:
  gatewayClassName: fleetgate
  infrastructure: {parametersRef: {group: gateway.gloo.solo.io, kind: GatewayParameters, name: mesh}}
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.gloo.solo.io/v1alpha1
kind: GatewayParameters
metadata: {name: mesh, namespace: default}
spec:
  kube:
    istio:
      customSidecars:
      - {name: agent, image: sds, args: [--listen, "127.0.0.1:8235", --name, agent]}
    podTemplate: {readinessProbe: {httpGet: {path: /envoy-hc, port: 8082}, periodSeconds: 1}}
---
# Istio puts it into each namespace.
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-ca-root-cert, namespace: default}
data: {root-cert.pem: ""}
"#;

/// The control plane and a backend, inside a bed, until the test ends.
struct Scene {
    bed: Bed,
    programs: Vec<Child>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

impl Scene {
    fn start() -> Option<Scene> {
        let bed = Bed::up()?;
        let charts = "helm install fleetgate-crds ./deploy/charts/fleetgate-crds --create-namespace --wait";
        bed.shell(&format!("{charts} -n fleetgate-system"));
        let fleetgate = Path::new(env!("CARGO_BIN_EXE_fleetgate"));
        let state = bed.path().join("state");
        let control_plane = bed.start(
            fleetgate,
            &[
                "standalone",
                "--kubernetes",
                "--xds-service",
                "10.64.0.1:18000",
                "--state-dir",
                &state.to_string_lossy(),
            ],
        );
        let echo = fleetgate.with_file_name("echo");
        let echo = bed.start(&echo, &["--listen", ECHO_ADDRESS, "--name", "blue"]);
        Some(Scene { bed, programs: vec![control_plane, echo] })
    }

    fn apply(&self, objects: &str) {
        self.bed.shell(&format!("kubectl apply -f - <<'END'\n{objects}\nEND"));
    }

    /// Waits until a shell condition holds.
    fn until(&self, condition: &str) {
        self.bed.shell(&format!(
            "timeout $PATIENCE bash -c '{}'",
            format!("until {condition}; do sleep 0.1; done").replace('\'', "'\\''")
        ));
    }

    fn answers(&self, port: u16, status: u16) {
        self.until(&format!(
            "[ \"$(curl -s -o /dev/null -m 5 -w '%{{http_code}}' http://192.0.2.77:{port}/)\" = {status} ]"
        ));
    }
}

#[test]
fn proxies_come_are_put_right_and_go_with_their_gateway() {
    let Some(scene) = Scene::start() else { return };
    scene.apply(&format!("{CLASS}{GATEWAY}---\n{ECHO}"));
    scene.bed.shell("kubectl wait gateway/web --for=condition=Programmed --timeout=$PATIENCE");
    scene.answers(80, 200);
    objects_are_as_they_should_be(&scene.bed);
    edits_by_hand_are_undone_and_those_of_others_kept(&scene);
    a_listener_comes_without_a_restart(&scene);
    no_request_is_lost_with_a_pod(&scene);
    an_answer_outlives_its_pod(&scene);
    nothing_is_deployed_where_kubernetes_itself_is(&scene);
    containers_come_beside_envoy(&scene);

    // What was asked for and is not any more goes; an address that nobody has is told.
    scene.bed.shell(r#"kubectl patch gatewayparameters web --type json -p '[{"op": "remove", "path": "/spec/kube/podDisruptionBudget"}]'"#);
    scene.until("! kubectl get pdb gloo-proxy-web 2>/dev/null");
    scene.bed.shell(
        r#"kubectl patch gateway web --type merge -p '{"spec": {"addresses": [{"value": "203.0.113.9"}]}}'"#,
    );
    scene.until(
        r#"kubectl get gateway web -o jsonpath="{.status.conditions[*].reason}" | grep -q AddressNotUsable"#,
    );

    scene.bed.shell("kubectl delete gateway web");
    scene.until(r#"[ -z "$(kubectl get deploy,svc,sa,cm,secret,pods -l gateway.networking.k8s.io/gateway-name=web -o name)" ]"#);
}

fn objects_are_as_they_should_be(bed: &Bed) {
    for kind in ["deployment", "service", "serviceaccount", "configmap", "secret", "pdb"] {
        let object = bed.object(&format!("{kind} gloo-proxy-web"));
        let metadata = &object["metadata"];
        assert_eq!(metadata["labels"]["team"], "a", "{object:#}");
        assert_eq!(metadata["labels"]["gateway.networking.k8s.io/gateway-name"], "web");
        assert_eq!(metadata["annotations"]["note"], "b");
        assert_eq!(metadata["ownerReferences"][0]["name"], "web");
    }
    let pods = bed.object("pods -l gateway.networking.k8s.io/gateway-name=web");
    let pod = &pods["items"][0];
    assert_eq!(
        (&pod["metadata"]["labels"]["team"], &pod["metadata"]["annotations"]["note"]),
        (&json!("a"), &json!("b"))
    );
    // Nobody outside the pod reaches the admin interface; readiness and metrics are for all.
    let ip = pod["status"]["podIP"].as_str().unwrap();
    assert!(!bed.run(&format!("curl -s -m 5 http://{ip}:19000/ready")).status.success());
    assert_eq!(bed.shell(&format!("curl -s -m 60 http://{ip}:8082/ready")).trim(), "LIVE");
    assert_eq!(
        bed.shell(&format!("curl -s -o /dev/null -w '%{{http_code}}' http://{ip}:8082/quitquitquit")),
        "404"
    );
    assert!(bed.shell(&format!("curl -s -m 60 http://{ip}:9091/metrics")).contains("envoy_server_live"));
    let address = &bed.object("gateway web")["status"]["addresses"];
    assert_eq!(*address, json!([{"type": "IPAddress", "value": "192.0.2.77"}]));
}

fn edits_by_hand_are_undone_and_those_of_others_kept(scene: &Scene) {
    scene.bed.shell(r#"kubectl annotate deployment gloo-proxy-web theirs=kept; kubectl scale deployment gloo-proxy-web --replicas=2"#);
    scene.bed.shell(r#"kubectl patch deployment gloo-proxy-web --type json -p '[{"op": "replace", "path": "/spec/template/spec/automountServiceAccountToken", "value": true}]'"#);
    scene.until(r#"kubectl get deployment gloo-proxy-web -o jsonpath="{.spec.template.spec.automountServiceAccountToken}" | grep -q false"#);
    scene.bed.shell("kubectl delete service gloo-proxy-web; kubectl delete secret gloo-proxy-web");
    scene.until("kubectl get service,secret gloo-proxy-web 2>/dev/null");
    scene.answers(80, 200);
    let deployment = scene.bed.object("deployment gloo-proxy-web");
    assert_eq!(deployment["metadata"]["annotations"]["theirs"], "kept");
    assert_eq!(deployment["spec"]["replicas"], 2, "nobody said how many, so whoever scales it does");
    scene.bed.shell("kubectl rollout status deployment gloo-proxy-web --timeout=$PATIENCE");
}

/// Uids of the pods.
fn pods(bed: &Bed) -> Vec<Value> {
    let pods = bed.object("pods -l gateway.networking.k8s.io/gateway-name=web");
    let mut uids: Vec<Value> =
        pods["items"].as_array().unwrap().iter().map(|pod| pod["metadata"]["uid"].clone()).collect();
    uids.sort_by_key(ToString::to_string);
    uids
}

fn a_listener_comes_without_a_restart(scene: &Scene) {
    scene.until(
        r#"[ "$(kubectl get pods -l gateway.networking.k8s.io/gateway-name=web -o name | wc -l)" = 2 ]"#,
    );
    let before = pods(&scene.bed);
    // The port in the pod that port 80 has already: this one gets another.
    let listener = json!([{"op": "add", "path": "/spec/listeners/-", "value": {"name": "alt", "port": 8080, "protocol": "HTTP"}}]);
    scene.bed.shell(&format!("kubectl patch gateway web --type json -p '{listener}'"));
    scene.answers(8080, 200);
    scene.answers(80, 200);
    assert_eq!(pods(&scene.bed), before);
}

fn containers_come_beside_envoy(scene: &Scene) {
    scene.apply(MESH);
    scene.bed.shell("kubectl wait gateway/mesh --for=condition=Programmed --timeout=$PATIENCE");
    let pod = &scene.bed.object("pods -l gateway.networking.k8s.io/gateway-name=mesh")["items"][0];
    let containers = pod["status"]["containerStatuses"].as_array().unwrap();
    let ready = containers.iter().filter(|container| container["ready"] == true);
    let names: Vec<&str> = ready.map(|container| container["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["gloo-gateway", "sds", "agent"], "{pod:#}");

    // What cannot be deployed is told, and what is there goes on.
    let level = |level: &str| {
        let spec = json!({"spec": {"kube": {"envoyContainer": {"bootstrap": {"logLevel": level}}}}});
        scene.bed.shell(&format!("kubectl patch gatewayparameters mesh --type merge -p '{spec}'"));
    };
    level("loud");
    scene.until(
        r#"kubectl get gateway mesh -o jsonpath="{.status.conditions[*].reason}" | grep -q InvalidParameters"#,
    );
    let gateway = scene.bed.object("gateway mesh");
    let address = gateway["status"]["addresses"][0]["value"].as_str().unwrap();
    let get = format!("curl -s -o /dev/null -m 60 -w '%{{http_code}}' http://{address}/");
    assert_eq!(scene.bed.shell(&get), "404", "Envoy answers, and has no routes");
    scene.bed.shell("kubectl delete gateway mesh");
}

/// Clients keep their connections and ask all the time while both pods are replaced, one after the other.
fn no_request_is_lost_with_a_pod(scene: &Scene) {
    let restart = "kubectl rollout restart deployment/gloo-proxy-web >&2; \
                   kubectl rollout status deployment/gloo-proxy-web --timeout=$PATIENCE >&2; sleep 4";
    let urls = ["a", "b", "c"].map(|path| format!("-o /dev/null http://192.0.2.77/{path}")).join(" ");
    let get = format!("curl -s -m 60 -w '%{{http_code}}\\n' {urls}");
    let answers = scene.bed.shell(&format!(
        "(while [ ! -e /tmp/stop ]; do {get}; done) & {restart}; touch /tmp/stop; wait; rm /tmp/stop"
    ));
    let wrong: Vec<&str> = answers.lines().filter(|answer| *answer != "200").collect();
    let count = answers.lines().count();
    assert!(count > 50 && wrong.is_empty(), "{} of {count}: {:?}", wrong.len(), wrong.first());
}

/// Who waits for an answer gets it though the pod ends meanwhile. It takes no more connections, and ends with the last
/// one, long before its grace period.
fn an_answer_outlives_its_pod(scene: &Scene) {
    let pods = "pods -l gateway.networking.k8s.io/gateway-name=web";
    scene.bed.shell("kubectl scale deployment gloo-proxy-web --replicas=1");
    scene.until(&format!("[ \"$(kubectl get {pods} -o name | wc -l)\" = 1 ]"));
    let pod = &scene.bed.object(pods)["items"][0];
    assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 52);
    let (name, ip) = (pod["metadata"]["name"].as_str().unwrap(), pod["status"]["podIP"].as_str().unwrap());
    let told = scene.bed.shell(&format!(
        "curl -s -m ${{PATIENCE%s}} -o /dev/null -w '%{{http_code}}' 'http://192.0.2.77/?delay=20s' & sleep 1; \
         kubectl delete pod {name} --wait=false >&2; \
         timeout $PATIENCE sh -c 'while curl -s -o /dev/null -m 2 http://{ip}:8080/; do sleep 0.2; done' || echo open; \
         kubectl get pod {name} >&2 || echo gone; wait; \
         kubectl wait --for=delete pod/{name} --timeout=$PATIENCE >&2"
    ));
    assert_eq!(told.trim(), "200");
}

fn nothing_is_deployed_where_kubernetes_itself_is(scene: &Scene) {
    scene.apply(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: web, namespace: kube-system}\n\
         spec: {gatewayClassName: fleetgate, listeners: [{name: http, port: 80, protocol: HTTP}]}",
    );
    scene.until(
        r#"kubectl get gateway web -n kube-system -o jsonpath="{.status.conditions[*].message}" | grep -q "no proxies are deployed in kube-system""#,
    );
    let label = "-l gateway.networking.k8s.io/gateway-name=web -n kube-system -o name";
    assert_eq!(scene.bed.shell(&format!("kubectl get deploy,svc,sa,cm,secret,pods {label}")), "");
    assert_eq!(scene.bed.shell("kubectl get events.events.k8s.io -n kube-system -o name"), "");
    scene.bed.shell("kubectl delete gateway web -n kube-system");
}
