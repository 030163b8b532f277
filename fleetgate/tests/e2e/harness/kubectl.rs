//! Objects of the cluster that this process is in.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::wait::{PATIENCE, until};

/// What `kubectl` prints.
pub(crate) fn kubectl(arguments: &[&str]) -> String {
    let output = Command::new("kubectl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The flag that bounds how long `kubectl` waits.
pub(crate) fn within() -> String {
    format!("--timeout={}s", PATIENCE.as_secs())
}

/// An object, which must be there.
pub(crate) fn object(kind: &str, name: &str) -> Value {
    serde_json::from_str(&kubectl(&["get", kind, name, "-o", "json"])).unwrap()
}

/// Merges something into an object.
pub(crate) fn patch(kind: &str, name: &str, more: &[&str], patch: &Value) {
    let patch = patch.to_string();
    kubectl(&[&["patch", kind, name, "--type", "merge", "-p", &patch], more].concat());
}

/// Status of a condition, and of which generation it speaks.
pub(crate) fn condition(conditions: &Value, kind: &str) -> String {
    let all = conditions.as_array().map(Vec::as_slice).unwrap_or_default();
    let one = all.iter().find(|one| one["type"] == kind);
    one.map_or_else(
        || "absent".to_owned(),
        |one| format!("{} at {}", one["status"].as_str().unwrap_or("?"), one["observedGeneration"]),
    )
}

/// Creates or changes objects, of YAML.
pub(crate) fn apply(objects: &str) {
    let mut command = Command::new("kubectl");
    let command = command.args(["apply", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(objects.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{objects}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes the definitions of our own kinds.
pub(crate) async fn apply_definitions() {
    let charts = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/charts/fleetgate-crds");
    let definitions = Command::new("helm").args(["template", "crds", charts]).output().unwrap();
    assert!(definitions.status.success(), "{}", String::from_utf8_lossy(&definitions.stderr));
    apply(&String::from_utf8(definitions.stdout).unwrap());
    is_established("gatewayparameters.gateway.gloo.solo.io").await;
}

/// Waits until objects of a definition can be made. (`kubectl wait` fails where there is no condition yet.)
pub(crate) async fn is_established(definition: &str) {
    until(&format!("{definition} is established"), async || {
        let status = &object("crd", definition)["status"];
        let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_so = conditions.iter().any(|one| one["type"] == "Established" && one["status"] == "True");
        if is_so { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}
