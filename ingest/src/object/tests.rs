use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proto::ClusterId;
use serde_json::{Value, json};

use super::{Parsed, parse};
use crate::Limits;

fn read(text: &str) -> Parsed {
    parse(text, false, &ClusterId::LOCAL, &Limits::default())
}

fn faults(text: &str) -> Vec<String> {
    read(text).faults.iter().map(|fault| fault.placed("f.yaml".into(), 1).to_string()).collect()
}

fn payload(text: &str) -> Value {
    let parsed = read(text);
    assert_eq!(parsed.objects.len(), 1, "{:?}", parsed.faults);
    serde_json::from_slice(&parsed.objects[0].payload).unwrap()
}

#[test]
fn faults_are_sentences_with_a_place_and_a_remedy() {
    for (text, fault) in [
        ("[1]\n", "f.yaml:1: the document is not an object; write apiVersion, kind and metadata"),
        ("a: 1\n", "f.yaml:1: kind: the document has no kind; write one, e.g. kind: HTTPRoute"),
        (
            "apiVersion: v1\nkind: Servce\nmetadata: {name: a}\n",
            "f.yaml:2: kind: kind \"Servce\" is not known; the nearest known kind is Service (v1)",
        ),
        (
            "apiVersion: v2\nkind: Service\nmetadata: {name: a}\n",
            "f.yaml:1: apiVersion: Service of apiVersion \"v2\" is not known; write apiVersion: v1",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata:\n  labels: {}\n",
            "f.yaml:3: metadata.name: the object has no name; write metadata.name",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: 7\n",
            "f.yaml:4: metadata.name: 7 is not a string; put it in quotes",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: n\n",
            "f.yaml:4: metadata.name: false is not a string; put it in quotes: YAML takes y, n, yes, no, on, off, true and false for booleans",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: a.b\n",
            "f.yaml:4: metadata.name: \"a.b\" is not a valid name; use at most 63 lower-case letters, digits and '-', a letter or digit at both ends",
        ),
        (
            "kind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata:\n    name: a\n    namespace: A\n",
            "f.yaml:7: metadata.namespace: \"A\" is not a valid namespace; use at most 63 lower-case letters, digits and '-', a letter or digit at both ends",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\nspec:\n  x: '-----BEGIN PRIVATE KEY-----'\n",
            "f.yaml:1: HTTPRoute default/a: a private key stands outside a Secret's tls.key; move it to data[\"tls.key\"] of a Secret; the object is not taken",
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {a: b}\n",
            "f.yaml:4: metadata.name: it is not a string; write one name",
        ),
    ] {
        assert_eq!(faults(text), [fault], "{text}");
    }
}

#[test]
fn names_of_trust_bundles_have_their_signer_in_front() {
    let bundle = |name: &str| {
        format!(
            "apiVersion: certificates.k8s.io/v1\nkind: ClusterTrustBundle\nmetadata: {{name: '{name}'}}\nspec: {{trustBundle: x}}\n"
        )
    };
    assert_eq!(
        payload(&bundle("example.com:signer:v1"))["metadata"],
        json!({"name": "example.com:signer:v1"})
    );
    assert!(faults(&bundle("a::b"))[0].contains("\"a::b\" is not a valid name"));
}

#[test]
fn objects_are_trimmed() {
    let service = payload(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  uid: u\n  generation: 4\n  resourceVersion: '9'\n  creationTimestamp: null\n  managedFields: []\n  annotations:\n    kubectl.kubernetes.io/last-applied-configuration: x\nstatus:\n  conditions: []\n  loadBalancer: {ingress: [{ip: 1.2.3.4}]}\n",
    );
    assert_eq!(
        service,
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "default"},
            "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}})
    );
    let route = payload(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a, namespace: b}\nstatus: {parents: []}\n",
    );
    assert_eq!(route.get("status"), None);
}

/// Serde quotes what has the wrong type.
#[test]
fn a_key_in_a_field_of_the_wrong_type_is_not_quoted() {
    let quoting = |key: &proto::ResourceKey, value: &Value| {
        let problem = format!("invalid type: {}", value["spec"]);
        vec![proto::Fault { object: key.clone(), field: "spec".into(), problem, remedy: String::new() }]
    };
    let limits = Limits { schema: quoting, ..Limits::default() };
    let text = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\nspec: '-----BEGIN PRIVATE KEY----- MIG'\n";
    let parsed = parse(text, false, &ClusterId::LOCAL, &limits);
    assert_eq!(parsed.faults.len(), 1);
    assert!(!parsed.faults[0].problem.contains("MIG"), "{:?}", parsed.faults);
}

#[test]
fn of_annotations_only_those_are_kept_that_are_read() {
    let gateway = payload(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: a\n  finalizers: [x]\n  labels: {l: m}\n  annotations: {gateway.gloo.solo.io/gateway-parameters-name: p, kapp.k14s.io/original: x}\n",
    );
    assert_eq!(
        gateway["metadata"],
        json!({"name": "a", "namespace": "default", "labels": {"l": "m"},
            "annotations": {"gateway.gloo.solo.io/gateway-parameters-name": "p"}})
    );
    let definition = payload(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a.b, annotations: {gateway.networking.k8s.io/channel: experimental, x: y}}\n",
    );
    assert_eq!(
        definition["metadata"]["annotations"],
        json!({"gateway.networking.k8s.io/channel": "experimental"})
    );
}

#[test]
fn lists_are_expanded_and_a_given_generation_is_kept() {
    let parsed = read(
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a, namespace: x, generation: 3}}\n- {apiVersion: v1, kind: Service, metadata: {name: b}}\n",
    );
    let names: Vec<String> = parsed.objects.iter().map(|object| object.state.key.to_string()).collect();
    assert_eq!(names, ["Namespace a", "Service default/b"]);
    assert_eq!(parsed.objects[0].state.generation, Some(3));
}

fn pair() -> (String, String) {
    let pair = rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).unwrap();
    (pair.cert.pem(), pair.signing_key.serialize_pem())
}

fn secret(certificate: Option<&str>, key: Option<&str>) -> String {
    let mut data = json!({"other": STANDARD.encode("hidden")});
    for (name, value) in [("tls.crt", certificate), ("tls.key", key)] {
        if let Some(value) = value {
            data[name] = STANDARD.encode(value).into();
        }
    }
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "tls"},
        "data": data, "stringData": {"ca.crt": pair().0}})
    .to_string()
}

#[test]
fn a_secret_keeps_its_public_part_and_a_verdict() {
    let (certificate, key) = pair();
    let text = secret(Some(&certificate), Some(&key));
    let value = payload(&text);
    assert_eq!(value["data"]["tls.crt"], STANDARD.encode(&certificate));
    assert_eq!(value["authorities"]["state"], "Valid");
    assert_eq!(value["data"].as_object().unwrap().len(), 2);
    assert_eq!(value.get("type"), None);
    assert_eq!(value["privateKey"], json!({"state": "Valid", "message": ""}));
    assert!(!value.to_string().contains(&STANDARD.encode(&key)));
    assert_eq!(value.get("stringData"), None);
    let parsed = read(&text);
    let (hash, kept) = parsed.objects[0].private_key.as_ref().unwrap();
    assert_eq!((*hash, kept.as_slice()), (proto::ContentHash::of(certificate.as_bytes()), key.as_bytes()));
}

#[test]
fn a_bad_pair_is_a_verdict_and_a_fault_but_not_a_refusal() {
    let (certificate, key) = pair();
    let (_, other) = pair();
    for (certificate, key, state, problem) in [
        (Some(certificate.as_str()), None, "Missing", "data.tls.key: the Secret has no tls.key"),
        (None, Some(key.as_str()), "Missing", "data.tls.crt: the Secret has no tls.crt"),
        (Some("x"), Some(key.as_str()), "Malformed", "data.tls.crt: tls.crt has no PEM certificate"),
        (Some(certificate.as_str()), Some("x"), "Malformed", "data.tls.key: tls.key has no PEM private key"),
        (
            Some(certificate.as_str()),
            Some(other.as_str()),
            "Mismatch",
            "data.tls.key: tls.key does not belong to the first certificate of tls.crt",
        ),
    ] {
        let text = secret(certificate, key);
        assert_eq!(payload(&text)["privateKey"]["state"], state);
        let faults = faults(&text);
        assert!(faults[0].starts_with(&format!("f.yaml:1: Secret default/tls: {problem}; ")), "{faults:?}");
        assert!(!read(&text).broken);
    }
}

#[test]
fn a_private_key_in_a_public_part_never_leaves() {
    let (certificate, key) = pair();
    let text = secret(Some(&format!("{certificate}{key}")), Some(&key));
    assert_eq!(payload(&text)["data"]["tls.crt"], STANDARD.encode(&certificate), "the key is left out");
    assert_eq!(
        faults(&text),
        [
            "f.yaml:1: Secret default/tls: data.tls.crt: it contains a private key; keep the private key in tls.key only; here it is left out"
        ]
    );
}
