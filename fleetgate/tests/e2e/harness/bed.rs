//! A test bed with a node: a cluster of its own, in which our binary and Envoy are images.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use super::wait::PATIENCE;

/// Our GatewayClass.
pub(crate) const CLASS: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: fleetgate}
spec: {controllerName: fleetgate.dev/gateway}
---
";

/// A route of Gateway `default/web` to a backend on the node, at [`ECHO_ADDRESS`].
pub(crate) const ECHO: &str = "\
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: default}
spec: {ports: [{name: http, port: 80, targetPort: 18081}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: echo-1, namespace: default, labels: {kubernetes.io/service-name: echo}}
addressType: IPv4
ports: [{name: http, port: 18081}]
endpoints: [{addresses: [10.64.0.1]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: echo, namespace: default}
spec:
  parentRefs: [{name: web}]
  rules: [{backendRefs: [{name: echo, port: 80}]}]
";
/// Where that backend is.
pub(crate) const ECHO_ADDRESS: &str = "10.64.0.1:18081";

/// A bed that ends with the test.
pub(crate) struct Bed {
    program: PathBuf,
    tools: PathBuf,
    dir: tempfile::TempDir,
}

impl Bed {
    /// Starts one; none if this machine cannot.
    pub(crate) fn up() -> Option<Bed> {
        Bed::with(&[])
    }

    /// Starts one with a release channel of the Gateway API.
    pub(crate) fn with_channel(channel: &str) -> Option<Bed> {
        Bed::with(&["--channel", channel])
    }

    /// Starts one that notes each request to its API server (see [`Bed::audit`]).
    pub(crate) fn with_audit() -> Option<Bed> {
        Bed::with(&["--audit"])
    }

    fn with(flags: &[&str]) -> Option<Bed> {
        let binary = Path::new(env!("CARGO_BIN_EXE_fleetgate"));
        let (envoy, tools) = (needs::envoy()?, needs::testbed()?);
        let program = needs::built("testbed")?;
        needs::built("echo")?;
        needs::built("libfleetgate_proxy.so")?;
        let bed = Bed { program, tools, dir: tempfile::tempdir().unwrap() };
        let images = bed.dir.path().join("images.json");
        let module = json!({"ENVOY_DYNAMIC_MODULES_SEARCH_PATH": binary.parent()});
        let known = json!({
            "fleetgate": {"program": binary},
            "envoy": {"program": envoy.to_str(), "env": module},
            // Listens where its probe asks.
            "sds": {"program": binary.with_file_name("echo"), "args": ["--listen", "0.0.0.0:8234", "--name", "sds"]},
        });
        std::fs::write(&images, known.to_string()).unwrap();
        let up = bed.command("up").args(flags).arg("--images").arg(&images).output().unwrap();
        assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
        Some(bed)
    }

    /// Runs a test of this program once more, inside, with this variable set to the bed's folder.
    pub(crate) fn run_test(&self, test: &str, variable: &str) {
        let itself = std::env::current_exe().unwrap();
        let told = self.shell(&format!(
            "{variable}='{}' '{}' --ignored --exact {test} --nocapture 2>&1",
            self.path().display(),
            itself.display()
        ));
        // Indented: its summary is none of this program.
        told.lines().for_each(|line| println!("  | {line}"));
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Requests to the API server, as audit.k8s.io/v1 has them.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.path().join("default/0/audit.log")).unwrap();
        // The last line may be half written.
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args([verb, "--dir"]).arg(self.dir.path()).arg("--tools").arg(&self.tools);
        command
    }

    /// Runs a command line inside, in the root of the repository.
    pub(crate) fn run(&self, line: &str) -> Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().display();
        let line = format!("cd '{root}'; PATIENCE={}s; {line}", PATIENCE.as_secs());
        self.command("shell").args(["--", "sh", "-ec", &line]).output().unwrap()
    }

    /// What a command line prints that must succeed.
    pub(crate) fn shell(&self, line: &str) -> String {
        let output = self.run(line);
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{line}: {stdout}{stderr}");
        stdout.into_owned()
    }

    /// An object as JSON.
    pub(crate) fn object(&self, what: &str) -> Value {
        serde_json::from_str(&self.shell(&format!("kubectl get {what} -o json"))).unwrap()
    }

    /// Starts a program inside; it ends with the bed at the latest.
    pub(crate) fn start(&self, program: &Path, arguments: &[&str]) -> Child {
        let mut command = self.command("shell");
        command.arg("--").arg(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().unwrap()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.command("down").stdout(Stdio::null()).status();
    }
}
