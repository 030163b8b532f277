//! The binary from outside: errors at the start, offline commands, and what survives SIGKILL.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside test functions")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: fleetgate}
spec: {controllerName: fleetgate.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: default}
spec:
  gatewayClassName: fleetgate
  listeners: [{name: http, port: 18080, protocol: HTTP}]
";

fn route(name: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: default}}\n\
         spec: {{parentRefs: [{{name: web}}], hostnames: [{name}.example.com]}}\n"
    )
}

fn fleetgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetgate"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLEETGATE_"))
    {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    fleetgate(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A standalone without Envoys; killed, not asked, when dropped.
struct Running {
    child: Child,
    admin: String,
}

impl Running {
    fn start(config: &Path, state: &Path) -> Running {
        let (config, state) = (config.to_str().unwrap(), state.to_str().unwrap());
        let flags = ["--envoy", "none", "--xds", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let arguments = [&["standalone", "--config", config, "--state-dir", state][..], &flags].concat();
        let mut child = fleetgate(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = String::new();
        let admin = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            seen += &line;
            Some(line.split_once("admin at http://")?.1.split(',').next().unwrap().to_owned())
        });
        let admin = admin.unwrap_or_else(|| panic!("it did not start: {seen}"));
        // The pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Running { child, admin }
    }

    /// Follows the log from its beginning; ends when the process does.
    fn follow(&self) -> Child {
        let arguments = ["log", "--follow", "--output", "json", "--admin", &self.admin];
        fleetgate(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn log(&self) -> Vec<String> {
        let output = output(&["log", "--output", "json", "--admin", &self.admin]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).lines().map(str::to_owned).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn what_was_acknowledged_survives_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let (config, state) = (dir.path().join("config"), dir.path().join("state"));
    fs::create_dir(&config).unwrap();
    fs::write(config.join("gateway.yaml"), GATEWAY).unwrap();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..10 {
        let running = Running::start(&config, &state);
        let log = running.log();
        assert!(log.len() >= acknowledged.len(), "round {round}: {} of {}", log.len(), acknowledged.len());
        assert_eq!(log[..acknowledged.len()], acknowledged, "round {round}");
        let mut follower = running.follow();
        let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
        for n in 0..20 {
            fs::write(config.join(format!("r{n}.yaml")), route(&format!("r{round}-{n}"))).unwrap();
        }
        // Killed as soon as a few of the writes are durable, while others are on their way.
        let wanted = format!("\"r{round}-{}\"", round % 7);
        acknowledged.clear();
        for line in lines.by_ref().map_while(Result::ok) {
            let found = line.contains(&wanted);
            acknowledged.push(line);
            if found {
                break;
            }
        }
        drop(running);
        acknowledged.extend(lines.map_while(Result::ok));
        follower.wait().unwrap();
    }
    let log = Running::start(&config, &state).log();
    assert_eq!(log[..acknowledged.len()], acknowledged);
    let revisions: BTreeSet<u64> = log
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["revision"].as_u64().unwrap())
        .collect();
    assert_eq!(revisions.len(), log.len(), "each revision once");
}

#[test]
fn a_second_fleetgate_on_a_state_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (config, state) = (dir.path().join("config"), dir.path().join("state"));
    fs::create_dir(&config).unwrap();
    let _running = Running::start(&config, &state);
    let (config, state) = (config.to_str().unwrap(), state.to_str().unwrap());
    let flags = ["--envoy", "none", "--xds", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let output = output(&[&["standalone", "--config", config, "--state-dir", state][..], &flags].concat());
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("another fleetgate") && error.contains("--state-dir"), "{error}");
}

#[test]
fn a_port_in_use_names_its_flag() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, free) in [("--xds", "--admin"), ("--admin", "--xds")] {
        let output = output(&[
            "standalone",
            "--config",
            dir.path().to_str().unwrap(),
            "--state-dir",
            state.to_str().unwrap(),
            "--envoy",
            "none",
            flag,
            &address,
            free,
            "127.0.0.1:0",
        ]);
        let error = text(&output.stderr);
        assert!(
            output.status.code() == Some(1) && error.contains(flag) && error.contains(&address),
            "{error}"
        );
    }
}

#[test]
fn a_missing_directory_and_an_unusable_state_directory_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let output = output(&["standalone", "--config", missing.to_str().unwrap(), "--envoy", "none"]);
    let error = text(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("--config"), "{error}");
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let state = file.join("state");
    let config = dir.path().to_str().unwrap();
    let output = self::output(&[
        "standalone",
        "--config",
        config,
        "--state-dir",
        state.to_str().unwrap(),
        "--envoy",
        "none",
    ]);
    let error = text(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("--state-dir"), "{error}");
}

#[test]
fn translate_prints_resources_and_lists_faults() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("gateway.yaml"), GATEWAY).unwrap();
    fs::write(dir.path().join("route.yaml"), route("good")).unwrap();
    let config = dir.path().to_str().unwrap();
    let good = output(&["translate", "--config", config, "-o", "json"]);
    assert!(good.status.success(), "{}", text(&good.stderr));
    let printed: serde_json::Value = serde_json::from_slice(&good.stdout).unwrap();
    let types: BTreeSet<&str> =
        printed["resources"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert!(types.contains("envoy.config.route.v3.RouteConfiguration"), "{types:?}");
    let yaml = output(&["translate", "--config", config]);
    assert!(text(&yaml.stdout).starts_with("resources:\n- "), "{}", text(&yaml.stdout));
    let other = output(&["translate", "--config", config, "-o", "json", "--gateway", "default/other"]);
    let printed: serde_json::Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!(printed["resources"], serde_json::json!([]));
    fs::write(dir.path().join("bad.yaml"), "kind: [").unwrap();
    let bad = output(&["translate", "--config", config]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad.stderr).contains("bad.yaml"), "{}", text(&bad.stderr));
}

#[test]
fn bootstraps_of_two_gateways_have_tokens_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let token = |gateway: &str| {
        let output = output(&["bootstrap", "--gateway", gateway, "--state-dir", state]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        // Envoy shows no secret in what it dumps.
        let secret = &made["static_resources"]["secrets"][0]["generic_secret"]["secret"];
        secret["inline_string"].as_str().unwrap().to_owned()
    };
    assert!(token("a/b").starts_with("Bearer a/b."));
    assert_eq!(token("a/b"), token("a/b"));
    assert_ne!(token("a/b").rsplit_once('.').unwrap().1, token("a/c").rsplit_once('.').unwrap().1);
}

#[test]
fn a_client_without_a_server_says_what_to_start() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = output(&["get", "gateways", "--admin", &free]);
    assert!(output.status.code() == Some(1) && text(&output.stderr).contains("fleetgate standalone"));
}

#[test]
fn who_asks_a_cluster_that_is_not_there_is_told_so() {
    for command in [&["get", "gateways"][..], &["log"], &["diff", "--from", "1", "--to", "2"]] {
        let told = output(&[command, &["--kubernetes", "--kubeconfig", "/nowhere/kubeconfig"]].concat());
        let error = text(&told.stderr);
        assert!(
            told.status.code() == Some(1) && error.contains("/nowhere/kubeconfig"),
            "{command:?}: {error}"
        );
        let told = output(&[command, &["--pod", "fleetgate-0"]].concat());
        let error = text(&told.stderr);
        assert!(told.status.code() == Some(2) && error.contains("--kubernetes"), "{command:?}: {error}");
    }
}

#[test]
fn every_command_has_examples() {
    for command in ["standalone", "translate", "bootstrap", "get", "log", "diff", "check", "completions"] {
        let help = output(&[command, "--help"]);
        assert!(text(&help.stdout).contains("Examples:"), "{command}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&output(&["completions", shell]).stdout).contains("standalone"), "{shell}");
    }
    assert!(text(&output(&["version"]).stdout).starts_with("fleetgate "));
    let told = output(&["version", "-o", "json"]);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_check_without_a_cluster_fails_with_a_remedy() {
    let told = output(&["check", "--kubeconfig", "/nowhere/kubeconfig"]);
    assert_eq!(told.status.code(), Some(1));
    let table = text(&told.stdout);
    let line = table.lines().find(|line| line.starts_with("FAIL")).unwrap();
    assert!(line.contains("API server") && line.contains("/nowhere/kubeconfig"), "{table}");
    let told = output(&["check", "--kubeconfig", "/nowhere/kubeconfig", "-o", "json"]);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&told["ok"], &told["checks"][0]["state"]), (&false.into(), &"FAIL".into()));
}

/// A file of the kubeconfig that is not there yet is told of, and had as soon as it is.
#[test]
fn a_kubeconfig_whose_certificates_come_later_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let (kubeconfig, state) = (dir.path().join("kubeconfig"), dir.path().join("state"));
    let content = "{clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1', certificate-authority: ca.crt}}], \
                   contexts: [{name: a, context: {cluster: a, user: a}}], users: [{name: a, user: {}}], current-context: a}";
    fs::write(&kubeconfig, content).unwrap();
    let arguments =
        ["standalone", "--kubernetes", "--kubeconfig", kubeconfig.to_str().unwrap(), "--state-dir"];
    let mut child = fleetgate(&arguments).arg(&state).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let waits = told.find(|line| line.contains("ca.crt") && line.contains("it is tried again"));
    let made = rcgen::generate_simple_self_signed(["authority".to_owned()]).unwrap();
    fs::write(dir.path().join("ca.crt"), made.cert.pem()).unwrap();
    let goes_on = told.find(|line| line.contains("no answer from the API server at https://127.0.0.1:1"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(waits.is_some() && goes_on.is_some(), "{waits:?} {goes_on:?}");
}
