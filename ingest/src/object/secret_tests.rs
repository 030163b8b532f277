//! What becomes of Secrets, of their certificates and keys.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use proptest::prelude::*;
use proto::ClusterId;
use serde_json::{Map, Value, json};

use super::{Parsed, check, parse};
use crate::Limits;

fn identity(name: &str) -> (String, String) {
    let file = format!("{}/testdata/identities/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(file).unwrap();
    let (certificate, key) = text.split_once("-----END CERTIFICATE-----\n").unwrap();
    (format!("{certificate}-----END CERTIFICATE-----\n"), key.to_owned())
}

fn read(certificate: &str, key: &str) -> Parsed {
    let text = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "tls"},
        "stringData": {"tls.crt": certificate, "tls.key": key}});
    parse(&text.to_string(), true, &ClusterId::LOCAL, &Limits::default())
}

fn event(parsed: &Parsed) -> Value {
    assert_eq!(parsed.objects.len(), 1, "{:?}", parsed.faults);
    serde_json::from_slice(&parsed.objects[0].payload).unwrap()
}

/// State and message of the verdict.
fn verdict(certificate: &str, key: &str) -> (String, String) {
    let parsed = read(certificate, key);
    let event = event(&parsed);
    let text = |field: &str| event["privateKey"][field].as_str().unwrap().to_owned();
    let valid = text("state") == "Valid";
    assert_eq!(
        parsed.objects[0].private_key.is_some(),
        valid,
        "a key without a verdict, or the other way round"
    );
    (text("state"), text("message"))
}

#[test]
fn what_envoy_serves_with_is_valid_and_nothing_else() {
    for name in [
        "rsa-2048",
        "rsa-2560",
        "rsa-8192",
        "pkcs1",
        "p256",
        "p256-without-public",
        "sec1-with-parameters",
        "p384",
        "p521",
        "p521-without-public",
        "ed25519",
        "expired",
    ] {
        let (certificate, key) = identity(name);
        assert_eq!(verdict(&certificate, &key), ("Valid".to_owned(), String::new()), "{name}");
    }
    for (name, problem) in [
        ("rsa-1024", "an RSA key of 1024 bits"),
        ("rsa-2047", "an RSA key of 2047 bits"),
        ("p224", "a key on a curve that is not served"),
        ("secp256k1", "a key on a curve that is not served"),
        ("ed448", "a key of a kind that is not served"),
        ("rsa-pss", "a key of a kind that is not served"),
        ("must-staple", "a stapled OCSP response"),
        ("encrypted-pkcs8", "tls.key is encrypted with a password"),
        ("encrypted-sec1", "tls.key is encrypted with a password"),
    ] {
        let (certificate, key) = identity(name);
        let (state, message) = verdict(&certificate, &key);
        assert!(state == "Malformed" && message.contains(problem), "{name}: {state} {message}");
    }
}

#[test]
fn a_key_of_another_certificate_is_told_for_each_kind() {
    for (name, other) in [
        ("rsa-2048", "pkcs1"),
        ("rsa-8192", "rsa-2560"),
        ("p256", "sec1-with-parameters"),
        ("p384", "p256"),
        ("p521-without-public", "p521"),
        ("ed25519", "p256"),
        ("p256", "rsa-2048"),
    ] {
        let ((certificate, _), (_, key)) = (identity(name), identity(other));
        let (state, message) = verdict(&certificate, &key);
        assert_eq!(
            (state.as_str(), message.as_str()),
            ("Mismatch", "tls.key does not belong to the first certificate of tls.crt")
        );
    }
    let ((leaf, key), (authority, _)) = (identity("p256"), identity("p384"));
    let (state, message) = verdict(&format!("{authority}{leaf}"), &key);
    assert_eq!(state, "Mismatch");
    assert!(message.contains("belongs to another certificate of tls.crt than the first"), "{message}");
}

#[test]
fn a_chain_is_read_as_a_whole() {
    let ((one, key), (two, other_key)) = (identity("p256"), identity("ed448"));
    let chain = |event: &Value| {
        String::from_utf8(STANDARD.decode(event["data"]["tls.crt"].as_str().unwrap()).unwrap()).unwrap()
    };
    let lines = |text: &str| text.lines().map(|line| format!("  {line} \r\n")).collect::<String>();
    for written in [
        format!("{one}{two}"),
        format!("\u{feff}subject: a\n{one}\n\nissuer: b\r\n{two}end\n"),
        lines(&format!("{one}{two}")),
        format!("{one}{}", two.replace("CERTIFICATE", "X509 CERTIFICATE")),
        format!("{one}-----BEGIN DH PARAMETERS-----\naGVsbG8=\n-----END DH PARAMETERS-----\n{two}"),
        format!("{one}{other_key}{two}"),
        format!("{key}{one}{two}"),
    ] {
        let event = event(&read(&written, &format!("\u{feff}{}", lines(&key))));
        assert_eq!(event["privateKey"]["state"], "Valid", "{written}");
        assert_eq!(chain(&event), format!("{one}{two}"));
    }
    for (rest, problem) in [
        (
            "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
            "certificate 2 of tls.crt is not base64 inside",
        ),
        (
            "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
            "certificate 2 of tls.crt is not valid X.509",
        ),
        ("-----BEGIN CERTIFICATE-----\naGVsbG8=\n", "certificate 2 of tls.crt has no END line"),
    ] {
        let (state, message) = verdict(&format!("{one}{rest}"), &key);
        assert_eq!((state.as_str(), message.as_str()), ("Malformed", problem));
        assert_eq!(event(&read(&format!("{one}{rest}"), &key))["data"], json!({}));
    }
}

#[test]
fn what_follows_a_certificate_in_its_block_is_left_out() {
    let (certificate, key) = identity("p256");
    let der = super::pem::blocks(certificate.as_bytes()).remove(0).ok().unwrap().der;
    let longer = STANDARD.encode([&der[..], b"more"].concat());
    let event =
        event(&read(&format!("-----BEGIN CERTIFICATE-----\n{longer}\n-----END CERTIFICATE-----\n"), &key));
    assert_eq!(event["data"]["tls.crt"], STANDARD.encode(&certificate));
    assert_eq!(event["privateKey"]["state"], "Valid");
}

/// Envoy's TLS library refuses these, and the parser of certificates does not.
#[test]
fn a_certificate_that_is_not_quite_der_is_refused() {
    let (certificate, key) = identity("p256");
    let der = super::pem::blocks(certificate.as_bytes()).remove(0).ok().unwrap().der;
    let name = der.windows(2).position(|pair| pair == [0x0c, 0x10]).unwrap();
    for (at, byte) in [(name, 0x05), (name, 0x04), (name + 3, 0xff), (name - 9, 0x39)] {
        let mut der = der.to_vec();
        der[at] = byte;
        let block =
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der));
        let (state, message) = verdict(&block, &key);
        assert_eq!(
            (state.as_str(), message.as_str()),
            ("Malformed", "certificate 1 of tls.crt is not valid X.509"),
            "{at}"
        );
    }
}

/// The machine's own trust store, where it has one.
#[test]
fn all_authorities_of_a_trust_store_are_taken() {
    let Ok(text) = std::fs::read_to_string("/etc/ssl/certs/ca-certificates.crt") else { return };
    let bundle = super::certificate::authorities("ca.crt", text.as_bytes()).unwrap();
    assert_eq!(bundle.certificates.len(), text.matches("BEGIN CERTIFICATE").count());
}

#[test]
fn authorities_are_taken_as_a_whole_or_not_at_all() {
    let (one, two) = (identity("p256").0, identity("rsa-1024").0);
    let bundle = |text: String| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca", "labels": {"a": "b"}},
            "data": {"ca.crt": text, "other": "x"}, "binaryData": {"y": "eg=="}, "immutable": true});
        event(&parse(&map.to_string(), true, &ClusterId::LOCAL, &Limits::default()))
    };
    let good = bundle(format!("# both\n{one}{two}"));
    assert_eq!(good["data"], json!({"ca.crt": format!("{one}{two}")}));
    assert_eq!(good["authorities"], json!({"state": "Valid", "message": ""}));
    assert_eq!(good["metadata"], json!({"name": "ca", "namespace": "default"}));
    for (text, message) in [
        ("garbage".to_owned(), "ca.crt has no PEM certificate"),
        (String::new(), "ca.crt has no PEM certificate"),
        (
            format!("{one}-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"),
            "certificate 2 of ca.crt is not valid X.509",
        ),
        (
            format!("{one}-----BEGIN X509 CRL-----\naGVsbG8=\n-----END X509 CRL-----\n"),
            "a list of revoked ones in ca.crt is not a valid X.509 CRL",
        ),
    ] {
        let bad = bundle(text);
        assert_eq!(bad["authorities"], json!({"state": "Malformed", "message": message}));
        assert_eq!(bad.get("data"), None);
    }
}

#[test]
fn a_secret_that_cannot_be_read_any_more_keeps_its_certificate() {
    let (certificate, key) = identity("p256");
    let before = read(&certificate, &key).objects.remove(0).payload;
    let after: Value = serde_json::from_slice(&super::without_key(&before).unwrap()).unwrap();
    assert_eq!(after["privateKey"]["state"], "Unread");
    assert_eq!(after["data"]["tls.crt"], STANDARD.encode(&certificate));
    assert_eq!(super::without_key(&super::without_key(&before).unwrap()), None);
    assert_eq!(super::without_key(&read(&certificate, "x").objects[0].payload), None);
}

/// A Secret with a private key somewhere in it.
#[derive(Clone, Debug)]
struct Hiding {
    path: &'static [&'static str],
    form: usize,
    in_a_field: bool,
    key: &'static str,
}

/// All ways in which a key is written; the base64 of a text has three forms, by where in a triple it begins.
fn forms(key: &str) -> [String; 7] {
    let shifted = |by: usize| STANDARD_NO_PAD.encode(format!("{}{key}", &"{{{"[..by]));
    let object = json!({"data": {"tls.key": STANDARD.encode(key)}}).to_string();
    [
        key.to_owned(),
        shifted(0),
        shifted(1),
        shifted(2),
        object.clone(),
        STANDARD.encode(&object),
        STANDARD.encode(STANDARD.encode(key)),
    ]
}

fn hiding() -> impl Strategy<Value = Hiding> {
    const PATHS: &[&[&str]] = &[
        &["metadata", "annotations", "kapp.k14s.io/original"],
        &["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"],
        &["metadata", "annotations"],
        &["metadata", "labels", "a"],
        &["metadata", "finalizers"],
        &["metadata", "managedFields"],
        &["metadata", "generateName"],
        &["metadata", "creationTimestamp"],
        &["data", "tls.crt"],
        &["data", "ca.crt"],
        &["data", "tls.key"],
        &["data", "other"],
        &["data"],
        &["stringData", "tls.crt"],
        &["stringData", "ca.crt"],
        &["stringData", "tls.key"],
        &["stringData"],
        &["type"],
        &["immutable"],
        &["status"],
        &["privateKey"],
        &["privateKey", "message"],
        &["authorities", "message"],
        &["spec"],
    ];
    let key = prop_oneof![Just("p256"), Just("rsa-2048"), Just("ed25519"), Just("sec1-with-parameters")];
    (prop::sample::select(PATHS), 0..7_usize, any::<bool>(), key)
        .prop_map(|(path, form, in_a_field, key)| Hiding { path, form, in_a_field, key })
}

fn put(object: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [last] => drop(object.insert((*last).to_owned(), value)),
        [first, rest @ ..] => {
            let inner = object.entry(*first).or_insert_with(|| json!({}));
            if !inner.is_object() {
                *inner = json!({});
            }
            put(inner.as_object_mut().unwrap(), rest, value);
        }
        [] => {}
    }
}

proptest! {
    #[test]
    fn no_part_of_a_key_is_in_an_event(
        hidings in prop::collection::vec(hiding(), 1..4),
        kind in prop_oneof![Just("Secret"), Just("Secret"), Just("ConfigMap")],
        with_certificate in any::<bool>(),
    ) {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}});
        let map = object.as_object_mut().unwrap();
        if with_certificate {
            let (certificate, key) = identity("p256");
            put(map, &["stringData", "tls.crt"], (certificate.clone() + &key).into());
            put(map, &["data", "ca.crt"], (certificate + &key).into());
        }
        for Hiding { path, form, in_a_field, key } in &hidings {
            let text = forms(&identity(key).1)[*form].clone();
            let value = if *in_a_field { json!({"f:x": [text]}) } else { text.into() };
            put(map, path, value);
        }
        let checked = check(object, &ClusterId::LOCAL, &Limits::default());
        let mut told: String = checked.faults.iter().map(|(_, refusal)| format!("{refusal:?}")).collect();
        if let Some(fresh) = &checked.object {
            told += std::str::from_utf8(&fresh.payload).unwrap();
            let event: Value = serde_json::from_slice(&fresh.payload).unwrap();
            for part in ["tls.crt", "ca.crt"] {
                let decoded = event["data"][part].as_str().and_then(|text| STANDARD.decode(text).ok());
                told += &String::from_utf8_lossy(&decoded.unwrap_or_default());
            }
        }
        for Hiding { key, .. } in &hidings {
            let key = identity(key).1;
            let body = key.lines().rev().find(|line| line.len() > 20 && !line.starts_with('-')).unwrap();
            for form in forms(&key).iter().chain(&forms(body)) {
                // Any longer piece of it, but for the ends, which are cut differently.
                let text = form.replace('\n', "");
                for piece in text.as_bytes().chunks(24).skip(1).filter(|piece| piece.len() == 24) {
                    let piece = std::str::from_utf8(piece).unwrap();
                    prop_assert!(!told.contains(piece) || piece.contains("PRIVATE KEY"), "{piece} in {told}");
                }
            }
        }
    }
}
