//! Two beds side by side, and what is left when one is killed.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside test functions")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Beds in a directory of their own, ended when dropped.
struct Beds {
    tools: PathBuf,
    dir: tempfile::TempDir,
}

impl Beds {
    fn run(&self, bed: &str, arguments: &[&str]) -> Output {
        let (verb, rest) = arguments.split_first().unwrap();
        let mut testbed = Command::new(env!("CARGO_BIN_EXE_testbed"));
        testbed.args([verb, "--name", bed, "--dir"]).arg(self.dir.path()).arg("--tools").arg(&self.tools);
        testbed.args(rest).output().unwrap()
    }

    fn succeed(&self, bed: &str, arguments: &[&str]) -> String {
        let output = self.run(bed, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn kubectl(&self, bed: &str, arguments: &[&str]) -> String {
        self.succeed(bed, &[&["shell", "--", "kubectl"], arguments].concat())
    }

    fn cluster(&self, bed: &str) -> Value {
        let status: Value = serde_json::from_str(&self.succeed(bed, &["status", "-o", "json"])).unwrap();
        status["clusters"][0].clone()
    }
}

impl Drop for Beds {
    fn drop(&mut self) {
        for bed in ["a", "b", "pods"] {
            self.run(bed, &["down"]);
        }
    }
}

/// Processes whose command line names this directory.
fn left(dir: &Path) -> Vec<String> {
    let dir = dir.to_str().unwrap();
    let line = |process: std::fs::DirEntry| std::fs::read(process.path().join("cmdline")).ok();
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(line);
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(dir))
        .collect()
}

#[test]
fn beds_do_not_see_each_other_and_leave_nothing() {
    let Some(tools) = needs::testbed() else { return };
    let beds = Beds { tools, dir: tempfile::tempdir().unwrap() };
    for bed in ["a", "b"] {
        beds.succeed(bed, &["up"]);
        assert_eq!(beds.cluster(bed)["state"], "Ready");
    }
    beds.kubectl("a", &["create", "namespace", "only-in-a"]);
    assert!(beds.kubectl("a", &["get", "namespaces"]).contains("only-in-a"));
    assert!(!beds.kubectl("b", &["get", "namespaces"]).contains("only-in-a"));
    assert!(beds.kubectl("b", &["get", "crds"]).contains("httproutes.gateway.networking.k8s.io"));
    assert_eq!(beds.run("a", &["shell", "--", "sh", "-c", "exit 7"]).status.code(), Some(7));

    // What is killed is started again.
    beds.succeed("a", &["shell", "--", "pkill", "-KILL", "-x", "kube-apiserver"]);
    while !beds.run("a", &["shell", "--", "kubectl", "get", "--raw", "/readyz"]).status.success() {
        std::thread::yield_now();
    }
    assert_eq!(beds.cluster("a")["state"], "Ready");

    // The kernel ends everything in the namespaces with their first process.
    let init = beds.cluster("b")["pid"].to_string();
    assert!(Command::new("kill").args(["-KILL", &init]).status().unwrap().success());
    while !left(&beds.dir.path().join("b")).is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(beds.cluster("b")["state"], "Ended: killed");
    assert_eq!(beds.cluster("a")["state"], "Ready");
    beds.succeed("b", &["up"]);
    assert!(!beds.kubectl("b", &["get", "crds"]).is_empty());
    for bed in ["a", "b"] {
        beds.succeed(bed, &["down"]);
    }
    assert_eq!(left(beds.dir.path()), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(beds.dir.path()).unwrap().count(), 0);
}

const PODS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      containers:
      - name: echo
        image: registry.example/echo-basic:v1
        env: [{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        volumeMounts: [{name: late, mountPath: /etc/late}]
        readinessProbe: {httpGet: {path: /health, port: 3000}, periodSeconds: 1}
      volumes: [{name: late, secret: {secretName: late}}]
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: default}
spec: {type: LoadBalancer, loadBalancerIP: 192.0.2.7, selector: {app: echo}, ports: [{port: 80, targetPort: 3000}]}
"#;

#[test]
fn pods_run_and_are_reached_by_their_service() {
    let Some(tools) = needs::testbed() else { return };
    let beds = Beds { tools, dir: tempfile::tempdir().unwrap() };
    let file = |name: &str, text: String| {
        let path = beds.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let echo = beds.tools.join("gateway-api-1.7.0/echo-basic");
    let images = file("images.json", serde_json::json!({"echo-basic": {"program": echo}}).to_string());
    let pods = file("pods.yaml", PODS.to_owned());
    beds.succeed("pods", &["up", "--images", &images]);
    beds.kubectl("pods", &["apply", "-f", &pods]);
    // Its pods wait for a Secret that comes late.
    beds.kubectl("pods", &["create", "secret", "generic", "late", "--from-literal=word=hello"]);
    beds.kubectl("pods", &["wait", "--for=condition=Available", "deployment/echo", "--timeout=300s"]);
    let address =
        ["--for=jsonpath={.status.loadBalancer.ingress[0].ip}=192.0.2.7", "service/echo", "--timeout=300s"];
    beds.kubectl("pods", &[&["wait"][..], &address].concat());
    let fetch =
        ["shell", "--", "curl", "-sf", "--retry", "20", "--retry-all-errors", "http://192.0.2.7/hello"];
    let answer: Value = serde_json::from_str(&beds.succeed("pods", &fetch)).unwrap();
    assert!(answer["pod"].as_str().unwrap().starts_with("echo-"), "{answer}");
    let logs = beds.kubectl("pods", &["logs", "--prefix", "-l", "app=echo"]);
    assert!(logs.contains("made to /hello"), "{logs}");
    beds.kubectl("pods", &["delete", "deployment", "echo"]);
    beds.kubectl("pods", &["wait", "--for=delete", "pod", "-l", "app=echo", "--timeout=300s"]);
    beds.succeed("pods", &["down"]);
    assert_eq!(left(beds.dir.path()), Vec::<String>::new());
}
