//! Goldens: `testdata/proxies/<case>.json` is a [`ProxySpec`], `<case>.golden.json` what is applied for it.
//! `UPDATE_GOLDEN=1` rewrites them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ingest::Limits;
use ingest::yaml::{compose, split};
use proto::{Kind, ProxySpec, ResourceKey};
use serde_json::{Map, Value, json};

use super::{Ingredients, render};
use crate::kubernetes::proxies::Settings;
use crate::kubernetes::proxies::identity::Identity;
use crate::kubernetes::proxies::parameters::Parameters;
use crate::pki::Authority;

fn rendered(spec: &ProxySpec) -> Value {
    let gateway = ResourceKey::local(Kind::GATEWAY, "infra", "web");
    let (certificate, key) = Authority::make(SystemTime::now()).unwrap();
    let authority = Authority::open(&certificate, &key, "").unwrap();
    let settings = Settings::of("fleetgate/envoy:0", "fleetgate.fleetgate-system.svc", 18000);
    let all = render(&Ingredients {
        gateway: &gateway,
        uid: "11111111-2222-3333-4444-555555555555",
        spec,
        parameters: &Parameters::of(&spec.parameters.to_value()).unwrap(),
        settings: &settings,
        identity: &Identity::issue(&authority, &gateway).unwrap(),
    });
    let mut shown = Map::new();
    for mut one in all {
        let object = &mut one.object;
        if object["kind"] == "Secret" {
            for part in object["data"].as_object_mut().unwrap().values_mut() {
                assert!(!part.as_str().unwrap().is_empty());
                *part = "(made)".into();
            }
        }
        if object["kind"] == "ConfigMap" {
            for file in object["data"].as_object_mut().unwrap().values_mut() {
                *file = serde_json::from_str(file.as_str().unwrap()).unwrap();
            }
        }
        if let Some(version) = object.pointer_mut("/metadata/labels/app.kubernetes.io~1version") {
            *version = "(ours)".into();
        }
        shown.insert(format!("{} {}", object["kind"].as_str().unwrap(), one.name), one.object);
    }
    shown.into()
}

#[test]
fn cases_match_their_goldens() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/proxies");
    let files = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let cases: Vec<PathBuf> =
        files.filter(|path| !path.to_string_lossy().ends_with(".golden.json")).collect();
    assert!(cases.len() >= 3, "the cases are not where they should be");
    for case in cases {
        let spec: ProxySpec = serde_json::from_str(&std::fs::read_to_string(&case).unwrap()).unwrap();
        let made = serde_json::to_string_pretty(&rendered(&spec)).unwrap() + "\n";
        let golden = case.with_extension("golden.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &made).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(
            made,
            expected,
            "run with UPDATE_GOLDEN=1 and read the difference in {}",
            golden.display()
        );
    }
}

#[test]
fn a_listener_that_comes_leaves_the_pods_as_they_are() {
    let port = |name: &str, port, target| json!({"name": name, "port": port, "target": target});
    let with = |ports: Vec<Value>| rendered(&serde_json::from_value(json!({ "ports": ports })).unwrap());
    let one = with(vec![port("http", 80, 8080)]);
    let two = with(vec![port("http", 80, 8080), port("https", 443, 8443)]);
    assert_ne!(one["Service gloo-proxy-web"], two["Service gloo-proxy-web"]);
    assert_eq!(one["Deployment gloo-proxy-web"], two["Deployment gloo-proxy-web"]);
}

/// Whether a selector of the API is for an object with these labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let equal =
        selector["matchLabels"].as_object().into_iter().flatten().all(|(name, value)| labels[name] == *value);
    let exist = selector["matchExpressions"].as_array().into_iter().flatten().all(|one| {
        assert_eq!(one["operator"], "Exists");
        !labels[one["key"].as_str().unwrap()].is_null()
    });
    equal && exist
}

/// `xtask/tests/helm.rs` compares the golden with what helm makes of the chart.
#[test]
fn the_network_policy_of_the_chart_lets_in_who_has_to_come() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/tests/namespaces.golden.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let objects: Vec<Value> =
        split(&text).iter().map(|chunk| compose(chunk.text, &Limits::default()).unwrap()).collect();
    let chart = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
    let (policy, control_plane) = (&chart("NetworkPolicy")["spec"], &chart("Deployment")["spec"]["template"]);
    let ours = &control_plane["metadata"]["labels"];
    let proxies = rendered(&ProxySpec::default());
    let proxies = &proxies["Deployment gloo-proxy-web"]["spec"]["template"]["metadata"]["labels"];
    assert!(selects(&policy["podSelector"], ours) && !selects(&policy["podSelector"], proxies));
    let name = |port: &Value, field: &str| port[field].as_str().unwrap().to_owned();
    let mut listening: Vec<String> = control_plane["spec"]["containers"][0]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| name(port, "name"))
        .collect();
    let mut open = Vec::new();
    for rule in policy["ingress"].as_array().unwrap() {
        let port = name(&rule["ports"][0], "port");
        let from: Vec<&Value> =
            rule["from"].as_array().unwrap().iter().filter_map(|one| one.get("podSelector")).collect();
        let lets_in = |labels| from.iter().any(|selector| selects(selector, labels));
        assert_eq!(lets_in(proxies), port == "xds", "proxies at {port}");
        assert_eq!(lets_in(ours), port == "replicas", "replicas at {port}");
        open.push(port);
    }
    listening.sort_unstable();
    open.sort_unstable();
    assert_eq!(open, listening);
}
