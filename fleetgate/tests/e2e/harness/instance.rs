//! A running `fleetgate standalone`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use tokio::sync::OnceCell;

use super::client::{Ask, Connection, ask};
use super::ports::free_port;
use super::wait::{DEADLINE, until};
use super::yaml::gateway;

/// Ends what a test process that was killed leaves behind: `read` returns when that process is gone.
const GUARD: &str = r#"trap '' INT TERM
read -r _
kill -TERM "$(cat "$0/state/lock")" 2>/dev/null
for _ in $(seq 100); do kill -0 "$(cat "$0/state/lock")" 2>/dev/null || break; sleep 0.1; done
for pid in "$0"/state/envoy/*.pid; do [ -f "$pid" ] && kill -KILL "$(cat "$pid")" 2>/dev/null; done
rm -rf "$0""#;

/// A fleetgate with its directories; it and its Envoys end when this is dropped.
pub(crate) struct Instance {
    /// Port of the shared Gateway's plain listener.
    pub(crate) http: u16,
    /// Port of the admin endpoint.
    pub(crate) admin: u16,
    xds: u16,
    dir: PathBuf,
    envoy: PathBuf,
    arguments: Vec<String>,
    child: Child,
    guard: Child,
}

/// The instance that most tests share; none without an Envoy.
pub(crate) async fn shared() -> Option<&'static Instance> {
    static SHARED: OnceCell<Option<Instance>> = OnceCell::const_new();
    // Asked by each test, so that each is skipped.
    needed()?;
    SHARED.get_or_init(Instance::start).await.as_ref()
}

/// An Envoy, and the module: without that fleetgate serves whole tables, and no test would see small ones.
fn needed() -> Option<PathBuf> {
    needs::built("libfleetgate_proxy.so")?;
    needs::envoy()
}

impl Instance {
    /// Starts one with a GatewayClass and the Gateway `infra/shared`, and waits until that serves; none
    /// without an Envoy.
    pub(crate) async fn start() -> Option<Instance> {
        let mut instance = Instance::spawn()?;
        let (http, log) = (instance.http, instance.dir.clone());
        until("the shared Gateway serves", async || {
            let answer = ask(http, &Ask::get("nobody", "/")).await;
            answer.map(drop).map_err(|error| format!("{error}; log:\n{}", log_of(&log)))
        })
        .await;
        instance.ready().await;
        Some(instance)
    }

    /// Starts one and does not wait.
    pub(crate) fn spawn() -> Option<Instance> {
        Instance::spawn_with(&[])
    }

    /// Starts one with more arguments and does not wait.
    pub(crate) fn spawn_with(arguments: &[&str]) -> Option<Instance> {
        let envoy = needed()?;
        let dir = tempfile::Builder::new().prefix("fleetgate-e2e-").tempdir().unwrap().keep();
        fs::create_dir(dir.join("config")).unwrap();
        let http = free_port();
        let listener = format!(
            "{{name: http, port: {http}, protocol: HTTP, allowedRoutes: {{namespaces: {{from: All}}}}}}"
        );
        let class = "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: fleetgate}\n\
                     spec: {controllerName: fleetgate.dev/gateway}\n";
        fs::write(
            dir.join("config/gateway.yaml"),
            class.to_owned() + &gateway("infra", "shared", &[listener]),
        )
        .unwrap();
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD]).arg(&dir);
        let guard = quiet(&mut guard).stdin(Stdio::piped()).spawn().unwrap();
        let (admin, xds) = (free_port(), free_port());
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let child = spawn(&dir, &envoy, admin, xds, &arguments);
        Some(Instance { http, admin, xds, dir, envoy, arguments, child, guard })
    }

    /// Waits until `/readyz` says so.
    pub(crate) async fn ready(&mut self) {
        let (admin, dir) = (self.admin, self.dir.clone());
        let child = &mut self.child;
        until("/readyz answers 200", async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("fleetgate ended ({status}):\n{}", log_of(&dir));
            }
            match ask(admin, &Ask::get("localhost", "/readyz")).await {
                Ok(answer) if answer.status == 200 => Ok(()),
                other => Err(format!("{other:?}; log:\n{}", log_of(&dir))),
            }
        })
        .await;
    }

    /// The directory that is watched.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("config")
    }

    /// Writes a file of the watched directory as a whole.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let draft = self.dir.join(format!("{file}.draft"));
        fs::write(&draft, text).unwrap();
        fs::rename(draft, self.config().join(file)).unwrap();
    }

    /// Removes a file of the watched directory, if it is there.
    pub(crate) fn remove(&self, file: &str) {
        let _ = fs::remove_file(self.config().join(file));
    }

    /// Body of a page of the admin endpoint.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = ask(self.admin, &Ask::get("localhost", path)).await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    /// `/status`
    pub(crate) async fn status(&self) -> Value {
        serde_json::from_str(&self.page("/status").await).unwrap()
    }

    /// Sum of a metric over its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let page = self.page("/metrics").await;
        let lines = page
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// What fleetgate wrote.
    pub(crate) fn log(&self) -> String {
        log_of(&self.dir)
    }

    /// Process id of the Envoy of a Gateway (`namespace_name`).
    pub(crate) fn envoy_pid(&self, gateway: &str) -> u32 {
        let file = self.dir.join(format!("state/envoy/{gateway}.pid"));
        fs::read_to_string(file).unwrap().trim().parse().unwrap()
    }

    /// A page of the admin endpoint of a Gateway's Envoy (`namespace_name`), as JSON.
    pub(crate) async fn envoy_page(&self, gateway: &str, path: &str) -> Value {
        serde_json::from_slice(&self.envoy_text(gateway, path).await).unwrap()
    }

    /// The same as bytes.
    pub(crate) async fn envoy_text(&self, gateway: &str, path: &str) -> bytes::Bytes {
        let socket = self.state().join(format!("envoy/{gateway}.sock"));
        let mut connection = Connection::unix(&socket).await.unwrap();
        let answer = connection.ask(&Ask::get("localhost", path)).await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// The state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Sends a signal to fleetgate and waits for its end.
    pub(crate) fn signal(&mut self, signal: &str) -> std::process::ExitStatus {
        kill(signal, self.child.id());
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("fleetgate did not end after SIG{signal}; log:\n{}", self.log());
    }

    /// Starts fleetgate again after it ended, on the same directories and addresses.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.dir, &self.envoy, self.admin, self.xds, &self.arguments);
        self.ready().await;
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            kill("TERM", self.child.id());
        }
        // Closing its input tells the guard to end and remove everything.
        drop(self.guard.stdin.take());
        let _ = self.child.wait();
        let _ = self.guard.wait();
    }
}

/// Sends a signal to a process of ours.
pub(crate) fn kill(signal: &str, pid: u32) {
    let _ = quiet(Command::new("kill").args([&format!("-{signal}"), &pid.to_string()])).status();
}

fn spawn(dir: &Path, envoy: &Path, admin: u16, xds: u16, arguments: &[String]) -> Child {
    let log = File::options().create(true).append(true).open(dir.join("fleetgate.log")).unwrap();
    // With the laxest mask that there is: what must be private has to see to it by itself.
    Command::new("sh")
        .args(["-c", "umask 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_fleetgate"), "standalone"])
        .arg("--config")
        .arg(dir.join("config"))
        .arg("--state-dir")
        .arg(dir.join("state"))
        .args(["--xds", &format!("127.0.0.1:{xds}"), "--admin", &format!("127.0.0.1:{admin}")])
        .arg("--envoy")
        .arg(envoy)
        .args(arguments)
        // Set by cargo: Envoy looks for modules there, too.
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

fn log_of(dir: &Path) -> String {
    fs::read_to_string(dir.join("fleetgate.log")).unwrap_or_default()
}
