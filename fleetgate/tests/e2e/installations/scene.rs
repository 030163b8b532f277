//! A cluster with fleetgate, a Gateway, and requests all the time.

use std::path::{Path, PathBuf};
use std::process::Child;

use super::{CHART, NS};
use crate::harness::{Bed, ECHO};

/// With two pods, so that it shows whether all of them come back.
pub(super) const GATEWAY: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: default}
spec:
  gatewayClassName: fleetgate
  addresses: [{value: 192.0.2.77}]
  infrastructure: {parametersRef: {group: gateway.gloo.solo.io, kind: GatewayParameters, name: web}}
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.gloo.solo.io/v1alpha1
kind: GatewayParameters
metadata: {name: web, namespace: default}
spec:
  kube:
    deployment: {replicas: 2}
    podTemplate: {gracefulShutdown: {enabled: true, sleepTimeSeconds: 2}}
---
";

/// A cluster with both charts and a Gateway that serves.
pub(super) struct Scene {
    pub(super) bed: Bed,
    echo: Child,
}

impl Scene {
    pub(super) fn new() -> Option<Scene> {
        let bed = Bed::up()?;
        let echo = Path::new(env!("CARGO_BIN_EXE_fleetgate")).with_file_name("echo");
        let echo = bed.start(&echo, &["--listen", "10.64.0.1:18081", "--name", "blue"]);
        bed.shell(&format!(
            "helm install fleetgate-crds ./deploy/charts/fleetgate-crds {NS} --create-namespace --wait"
        ));
        bed.shell(&format!("helm install fleetgate {CHART} {NS} --wait --timeout $PATIENCE"));
        bed.shell(&format!("kubectl apply -f - <<'END'\n{GATEWAY}{ECHO}END"));
        bed.shell("kubectl wait gateway/web --for=condition=Programmed --timeout=$PATIENCE");
        bed.shell("kubectl rollout status deployment/gloo-proxy-web --timeout=$PATIENCE");
        let scene = Scene { bed, echo };
        scene.until("curl -sf -m 5 http://192.0.2.77/");
        Some(scene)
    }

    pub(super) fn until(&self, condition: &str) {
        let quoted = condition.replace('\'', "'\\''");
        self.bed.shell(&format!("timeout $PATIENCE sh -c 'until {quoted} >/dev/null; do sleep 0.1; done'"));
    }

    /// Requests from now on, each over a connection of its own, and over kept ones.
    pub(super) fn traffic(&self) -> Traffic<'_> {
        let (stop, answers) = (self.bed.path().join("stop"), self.bed.path().join("answers"));
        let _ = std::fs::remove_file(&answers);
        let one = "http://192.0.2.77/";
        let clients = [one.to_owned(), [one; 20].join(" ")].map(|urls| {
            // Of an answer of Envoy's own, its reason.
            let brief =
                "grep --line-buffered -oE '^[0-9]{3}$|^(upstream connect error|no healthy upstream).*'";
            let get =
                format!("curl -sN -m 10 -w '\\n%{{http_code}}\\n' {urls} | {brief} >> {}", answers.display());
            let script = format!("while [ ! -e {} ]; do {get}; sleep 0.02; done", stop.display());
            self.bed.start("/bin/sh".as_ref(), &["-c", &script])
        });
        let traffic = Traffic { scene: self, stop, answers, clients: clients.into() };
        self.until(&format!("[ $(wc -l < {}) -gt 20 ]", traffic.answers.display()));
        traffic
    }

    /// A route of its own, which shows that the control plane leads the proxies.
    pub(super) fn is_followed(&self, host: &str) {
        let route = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: probe, namespace: default}}\n\
             spec: {{parentRefs: [{{name: web}}], hostnames: [{host}], \
             rules: [{{matches: [{{path: {{value: /probe}}}}], backendRefs: [{{name: echo, port: 80}}]}}]}}\n"
        );
        self.bed.shell(&format!("kubectl apply -f - <<'END'\n{route}END"));
        self.until(&format!("curl -sf -m 5 -H Host:{host} http://192.0.2.77/probe"));
    }

    /// Names of the proxies' pods, and the generation of their Deployment.
    pub(super) fn proxies(&self) -> String {
        self.bed.shell(
            "kubectl get pods -l gateway.networking.k8s.io/gateway-name=web -o name | sort; \
             kubectl get deployment gloo-proxy-web -o jsonpath='{.metadata.generation}'",
        )
    }

    /// Milliseconds from the readiness of the control plane to the last of two proxies.
    pub(super) fn reconnected(&self, ns: &str) -> u64 {
        // Not one that is about to end.
        let address = "{{range .items}}{{if not .metadata.deletionTimestamp}}{{.status.podIP}}{{end}}{{end}}";
        let script = format!(
            "at() {{ echo http://$(kubectl get pods {ns} -l app.kubernetes.io/component=control-plane \
             -o go-template='{address}'):8081; }}; \
             until curl -sf -m 1 $(at)/readyz >/dev/null; do sleep 0.05; done; \
             a=$(date +%s%N); \
             until [ \"$(curl -s -m 1 $(at)/metrics | sed -n 's/^fleetgate_xds_streams //p')\" = 2 ]; do sleep 0.05; done; \
             echo $(( ($(date +%s%N) - a) / 1000000 ))"
        );
        let told = self.bed.shell(&format!("timeout $PATIENCE sh -c '{}'", script.replace('\'', "'\\''")));
        told.trim().parse().unwrap()
    }

    pub(super) fn accepted(&self) -> String {
        self.bed.shell(
            "kubectl get gateway web -o jsonpath='{.status.conditions[?(@.type==\"Accepted\")].message}'",
        )
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.echo.kill();
        let _ = self.echo.wait();
    }
}

pub(super) struct Traffic<'a> {
    scene: &'a Scene,
    stop: PathBuf,
    answers: PathBuf,
    clients: Vec<Child>,
}

impl Traffic<'_> {
    /// Ends it after some more answers.
    pub(super) fn stop_without_failure(mut self, what: &str) {
        let count = || std::fs::read_to_string(&self.answers).unwrap().lines().count();
        let goal = count() + 50;
        self.scene.until(&format!("[ $(wc -l < {}) -gt {goal} ]", self.answers.display()));
        std::fs::write(&self.stop, "").unwrap();
        for client in &mut self.clients {
            client.wait().unwrap();
        }
        std::fs::remove_file(&self.stop).unwrap();
        let answers = std::fs::read_to_string(&self.answers).unwrap();
        let is_code = |line: &&str| line.bytes().all(|byte| byte.is_ascii_digit());
        let (codes, reasons): (Vec<&str>, Vec<&str>) = answers.lines().partition(is_code);
        let wrong: Vec<&&str> = codes.iter().filter(|code| **code != "200").collect();
        eprintln!("{what}: {} of {} requests failed", wrong.len(), codes.len());
        assert!(wrong.is_empty(), "{what}: {} of {}: {wrong:?} {reasons:?}", wrong.len(), codes.len());
    }
}
