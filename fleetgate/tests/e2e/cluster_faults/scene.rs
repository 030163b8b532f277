//! Two replicas, a Gateway with two Envoys, and ways to the API server that can go wrong.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::load::{Client, HOST, Load};
pub(super) use crate::harness::PATIENCE;
use crate::harness::{
    ApiProxy, Ask, Authority, CLASS, ECHO, ECHO_ADDRESS, Fault, Program, apply, apply_definitions, ask_at,
    certificate_secret, condition, kubectl, object, patch, until_within,
};

/// Where the Gateway's Envoys are reached.
pub(super) const HTTP: &str = "192.0.2.77:80";
const HTTPS: &str = "192.0.2.77:443";

const OBJECTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: fleetgate-system}
---
apiVersion: gateway.gloo.solo.io/v1alpha1
kind: GatewayParameters
metadata: {name: web, namespace: default}
spec:
  kube:
    deployment: {replicas: 2}
    podTemplate: {gracefulShutdown: {enabled: true, sleepTimeSeconds: 2}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: default}
spec:
  gatewayClassName: fleetgate
  infrastructure: {parametersRef: {group: gateway.gloo.solo.io, kind: GatewayParameters, name: web}}
  addresses: [{value: 192.0.2.77}]
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: serving}]}}
---
apiVersion: v1
kind: Service
metadata: {name: fleetgate, namespace: fleetgate-system}
spec: {ports: [{name: xds, port: 18000, targetPort: 18000}]}
"#;

const PROBE: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: probe, namespace: default}
spec:
  parentRefs: [{name: web}]
  hostnames: [probe-0.example.com]
  rules: [{backendRefs: [{name: echo, port: 80}]}]
"#;

/// One replica's endpoint of the Service.
fn endpoint(replica: usize) -> String {
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: fleetgate-{replica}, namespace: fleetgate-system, labels: {{kubernetes.io/service-name: fleetgate}}}}\n\
         addressType: IPv4\nports: [{{name: xds, port: 1800{}}}]\nendpoints: [{{addresses: [10.64.0.1]}}]\n",
        replica + 1
    )
}

/// What there is while it goes wrong.
pub(super) struct Scene {
    dir: PathBuf,
    /// Each replica's way to the API server.
    pub(super) apis: [ApiProxy; 2],
    pub(super) replicas: [Option<Program>; 2],
    /// It vouches for the Gateway's certificate.
    pub(super) authority: Authority,
    edits: usize,
    begun: Instant,
    _echo: Program,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for replica in 0..self.replicas.len() {
                let log = std::fs::read_to_string(self.log(replica)).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                println!("replica {replica}:\n{}", lines[lines.len().saturating_sub(25)..].join("\n"));
            }
        }
    }
}

impl Scene {
    /// Sets everything up, with replica 0 leading.
    pub(super) async fn start(dir: PathBuf) -> Scene {
        apply_definitions().await;
        let authority = Authority::new();
        let secret = certificate_secret("default", "serving", &authority.issue(&[HOST]));
        apply(&format!("{CLASS}{OBJECTS}{}{}{secret}", endpoint(0), endpoint(1)));
        let program = Path::new(env!("CARGO_BIN_EXE_fleetgate")).with_file_name("echo");
        let echo = Program::start(
            Command::new(program).args(["--listen", ECHO_ADDRESS, "--name", "blue"]),
            &dir.join("echo.log"),
        );
        let apis = [ApiProxy::start().await, ApiProxy::start().await];
        let mut scene = Scene {
            dir,
            apis,
            replicas: [None, None],
            authority,
            edits: 0,
            begun: Instant::now(),
            _echo: echo,
        };
        scene.apply_routes();
        scene.start_replica(0);
        scene.leads(None).await;
        scene.start_replica(1);
        scene.follows("the start").await;
        scene
    }

    /// The routes that are there all the time.
    pub(super) fn apply_routes(&self) {
        let echo = ECHO.replace("parentRefs", &format!("hostnames: [{HOST}]\n  parentRefs"));
        apply(&format!("{PROBE}---\n{echo}"));
    }

    fn log(&self, replica: usize) -> PathBuf {
        self.dir.join(format!("replica-{replica}.log"))
    }

    pub(super) fn start_replica(&mut self, replica: usize) {
        let kubeconfig = self.dir.join(format!("replica-{replica}.kubeconfig"));
        std::fs::write(&kubeconfig, self.apis[replica].kubeconfig()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleetgate"));
        command.args(["standalone", "--kubernetes", "--xds-service", "fleetgate.fleetgate-system.svc:18000"]);
        command.args(["--xds-listen", &format!("10.64.0.1:1800{}", replica + 1)]);
        command.args(["--health", &format!("127.0.0.1:1808{replica}"), "--replica-listen", "127.0.0.1:0"]);
        command.args(["--admin", &format!("127.0.0.1:1900{}", replica + 1)]);
        command.arg("--kubeconfig").arg(kubeconfig);
        command.arg("--state-dir").arg(self.dir.join(format!("replica-{replica}")));
        self.replicas[replica] = Some(Program::start(&mut command, &self.log(replica)));
    }

    /// Kills a replica, as a machine does that loses its power.
    pub(super) fn kill(&mut self, replica: usize) {
        self.replicas[replica] = None;
    }

    /// Ends a replica in order, and starts it anew.
    pub(super) fn restart(&mut self, replica: usize) {
        if let Some(running) = self.replicas[replica].take() {
            running.end();
        }
        self.start_replica(replica);
    }

    /// The same goes wrong for both replicas.
    pub(super) fn set(&self, fault: Fault) {
        self.apis.iter().for_each(|api| api.set(fault));
    }

    /// Starts clients of all kinds.
    pub(super) async fn load(&self) -> Load {
        let (http, https): (SocketAddr, SocketAddr) = (HTTP.parse().unwrap(), HTTPS.parse().unwrap());
        let tls = Client::Tls(https, self.authority.der().clone());
        Load::start(&[Client::Keeps(http), Client::Anew(http), tls]).await
    }

    /// The replica that has a name.
    pub(super) fn replica(&self, identity: &str) -> usize {
        let says_so = |replica: &usize| {
            let log = std::fs::read_to_string(self.log(*replica)).unwrap_or_default();
            log.contains(&format!("this replica, {identity}, leads"))
        };
        (0..self.replicas.len()).find(says_so).unwrap()
    }

    /// How many status writes of the replicas were refused because of others.
    pub(super) async fn conflicts(&self) -> f64 {
        let mut all = 0.0;
        for replica in 0..self.replicas.len() {
            let address = format!("127.0.0.1:1808{replica}").parse().unwrap();
            let page = ask_at(address, &Ask::get("localhost", "/metrics")).await.unwrap().body;
            let page = String::from_utf8(page.to_vec()).unwrap();
            let lines = page.lines().filter(|line| {
                line.starts_with("fleetgate_status_writes_total{") && line.contains("\"again\"")
            });
            all += lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>();
        }
        all
    }

    /// Waits until both replicas have read all objects.
    pub(super) async fn is_listening(&self) {
        for replica in 0..self.replicas.len() {
            let address = format!("127.0.0.1:1808{replica}").parse().unwrap();
            until_within(PATIENCE, &format!("replica {replica} is ready"), async || {
                match ask_at(address, &Ask::get("localhost", "/readyz")).await {
                    Ok(answer) if answer.status == 200 => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
        }
    }

    /// Waits until somebody leads, and not this one; who it is.
    pub(super) async fn leads(&self, not: Option<&str>) -> String {
        until_within(PATIENCE, "a replica leads", async || {
            let lease = Command::new("kubectl")
                .args(["get", "lease", "fleetgate", "-n", "fleetgate-system", "-o"])
                .arg("jsonpath={.spec.holderIdentity}")
                .output()
                .unwrap();
            let holder = String::from_utf8(lease.stdout).unwrap();
            if holder.is_empty() || Some(holder.as_str()) == not { Err(holder) } else { Ok(holder) }
        })
        .await
    }

    /// Edits the route `probe`; the host that it is for now.
    pub(super) fn edit(&mut self) -> String {
        self.edit_as("httproute")
    }

    /// The same, in a version of the kind.
    pub(super) fn edit_as(&mut self, kind: &str) -> String {
        self.edits += 1;
        let host = format!("probe-{}.example.com", self.edits);
        patch(kind, "probe", &[], &json!({"spec": {"hostnames": [host]}}));
        host
    }

    /// All Envoys answer for a host with this status.
    pub(super) async fn answers(&self, host: &str, status: u16) {
        let (address, request) = (HTTP.parse().unwrap(), Ask::get(host, "/"));
        until_within(PATIENCE, &format!("{host} answers {status}"), async || {
            // A Service picks one at random.
            for _ in 0..12 {
                let answer = ask_at(address, &request).await?;
                if answer.status != status {
                    return Err(format!("{}: {:?}", answer.status, answer.body));
                }
            }
            Ok(())
        })
        .await;
    }

    /// Waits until an object's status says what it should.
    pub(super) async fn status(&self, kind: &str, name: &str, good: impl Fn(&Value) -> bool) {
        until_within(PATIENCE, &format!("the status of {kind} {name} is right"), async || {
            let object = object(kind, name);
            if good(&object) { Ok(()) } else { Err(format!("{:#}", object["status"])) }
        })
        .await;
    }

    /// A change is live, statuses speak of it, and all is as it was.
    pub(super) async fn follows(&mut self, what: &str) {
        let host = self.edit();
        self.answers(&host, 200).await;
        self.is_told("httproute", "probe").await;
        self.status("gateway", "web", |gateway| {
            let generation = &gateway["metadata"]["generation"];
            condition(&gateway["status"]["conditions"], "Programmed") == format!("True at {generation}")
        })
        .await;
        println!("after {what} all is right, at {:?}", self.begun.elapsed());
    }

    /// Its status says that a route is accepted as it is now.
    pub(super) async fn is_told(&self, kind: &str, name: &str) {
        self.status(kind, name, |route| {
            let parents = route["status"]["parents"].as_array().map(Vec::as_slice).unwrap_or_default();
            let ours = parents.iter().find(|one| one["controllerName"] == "fleetgate.dev/gateway");
            let told = ours.map(|ours| condition(&ours["conditions"], "Accepted"));
            told == Some(format!("True at {}", route["metadata"]["generation"]))
        })
        .await;
    }

    /// Replicas watch what they watch once, whatever came in between.
    pub(super) async fn watches_are_open_once(&self) {
        for api in &self.apis {
            until_within(PATIENCE, "every watch is open, and once", async || {
                let all = api.watches();
                // Those of the source, at least.
                let good = all.len() >= 12 && all.values().all(|count| *count == 1);
                if good { Ok(()) } else { Err(format!("{all:#?}")) }
            })
            .await;
        }
    }

    /// Ends all; nothing is left of the Gateway.
    pub(super) async fn end(mut self) {
        self.watches_are_open_once().await;
        kubectl(&["delete", "gateway", "web"]);
        let label = "gateway.networking.k8s.io/gateway-name";
        until_within(PATIENCE, "nothing of the Gateway is left", async || {
            let left = kubectl(&["get", "deploy,svc,sa,cm,secret,pods", "-A", "-l", label, "-o", "name"]);
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
        .await;
        for replica in &mut self.replicas {
            if let Some(replica) = replica.take() {
                replica.end();
            }
        }
    }
}
