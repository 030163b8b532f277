//! The source against an API server that does what a test says. Time stands still but where all wait.

mod fake;
mod properties;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proto::{Change, ContentHash, Kind, PrivateKeyRef, ResourceKey};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

use super::{Handle, Options, start};
use crate::{Batch, KeyStore, Known, Limits};
use fake::{Fake, GATEWAY_API};

struct Source {
    batches: Receiver<Batch>,
    handle: Handle,
    keys: Arc<KeyStore>,
}

impl Source {
    fn start(fake: &Fake, known: Vec<Known>) -> Source {
        let keys = Arc::new(KeyStore::new());
        let options = Options { known, ..Options::default() };
        let (batches, handle) = start(fake.client(), options, keys.clone());
        Source { batches, handle, keys }
    }

    async fn listed(fake: &Fake) -> (Source, Batch) {
        let mut source = Source::start(fake, Vec::new());
        let batch = source.batch().await;
        assert!(batch.listed, "{batch:?}");
        (source, batch)
    }

    async fn batch(&mut self) -> Batch {
        self.batches.recv().await.unwrap()
    }

    async fn next(&mut self) -> Vec<String> {
        describe(&self.batch().await)
    }

    /// All events up to that of a marker that is made now.
    async fn until_marker(&mut self, fake: &Fake) -> Vec<String> {
        fake.put("configmaps", json!({"metadata": {"name": "marker", "namespace": "default"}, "data": {}}));
        let mut all = Vec::new();
        loop {
            let batch = self.next().await;
            let done = batch.iter().any(|line| line.contains("ConfigMap default/marker"));
            all.extend(batch.into_iter().filter(|line| !line.contains("marker")));
            if done {
                fake.delete("configmaps", "marker");
                self.next().await;
                return all;
            }
        }
    }
}

fn describe(batch: &Batch) -> Vec<String> {
    let events = batch.events.iter().filter_map(|event| match &event.change {
        Change::Upsert(_) => Some(format!("+{} {}", event.key, event.generation)),
        Change::Delete => Some(format!("-{}", event.key)),
        _ => None,
    });
    events.chain(batch.faults.iter().flatten().map(ToString::to_string)).collect()
}

fn route(name: &str, generation: i64) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "default", "uid": format!("u-{name}"), "generation": generation,
            "managedFields": [{"manager": "x"}]},
        "spec": {"hostnames": [format!("h{generation}")]},
    })
}

fn service(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"ports": [{"port": 80}]}})
}

fn route_key(name: &str) -> ResourceKey {
    ResourceKey::local(Kind::HTTP_ROUTE, "default", name)
}

#[tokio::test(start_paused = true)]
async fn the_listing_is_one_ordered_batch_and_changes_follow() {
    let fake = Fake::new();
    fake.put("httproutes", route("a", 1));
    fake.put("services", service("s"));
    let (mut source, listing) = Source::listed(&fake).await;
    assert_eq!(describe(&listing), ["+Service default/s 0", "+HTTPRoute default/a 1"]);
    let Change::Upsert(payload) = &listing.events[1].change else { panic!() };
    let payload: Value = serde_json::from_slice(payload).unwrap();
    assert_eq!(payload["metadata"], json!({"name": "a", "namespace": "default"}));
    assert_eq!((listing.events[1].uid.as_str(), listing.events[1].resource_version.as_str()), ("u-a", "1"));
    assert_eq!(listing.events.len(), 2 + crate::kinds::KINDS.len());
    fake.put("httproutes", route("a", 2));
    assert_eq!(source.next().await, ["+HTTPRoute default/a 2"]);
    fake.delete("httproutes", "a");
    assert_eq!(source.next().await, ["-HTTPRoute default/a"]);
}

#[tokio::test(start_paused = true)]
async fn a_status_is_seen_and_makes_no_event() {
    let fake = Fake::new();
    fake.put("httproutes", route("a", 1));
    let (mut source, _) = Source::listed(&fake).await;
    let seen = source.handle.seen().clone();
    assert_eq!(seen.get(&route_key("a")).unwrap().status, Value::Null);
    assert_eq!(seen.api(&Kind::HTTP_ROUTE).unwrap().plural, "httproutes");
    let mut changed = seen.changed();
    let mut written = route("a", 1);
    written["status"] = json!({"parents": [1]});
    fake.put("httproutes", written);
    assert_eq!(*changed.recv().await.unwrap(), [route_key("a")]);
    let observed = seen.get(&route_key("a")).unwrap();
    assert_eq!((observed.status, observed.resource_version.as_str()), (json!({"parents": [1]}), "2"));
    assert!(source.until_marker(&fake).await.is_empty());
    fake.delete("httproutes", "a");
    assert_eq!(source.next().await, ["-HTTPRoute default/a"]);
    assert_eq!(seen.get(&route_key("a")), None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_closes_is_resumed_where_it_was() {
    let fake = Fake::new();
    fake.put("httproutes", route("a", 1));
    let (mut source, _) = Source::listed(&fake).await;
    fake.say("httproutes", &json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "77"}}}));
    assert!(source.until_marker(&fake).await.is_empty());
    assert_eq!(fake.requests("httproutes"), ["stream"]);
    fake.close("httproutes");
    fake.watched("httproutes").await;
    assert_eq!(fake.requests("httproutes"), ["watch 77"]);
    fake.put("httproutes", route("a", 2));
    assert_eq!(source.next().await, ["+HTTPRoute default/a 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_silent_for_long_is_resumed_too() {
    let fake = Fake::new();
    fake.put("httproutes", route("a", 1));
    let (mut source, _) = Source::listed(&fake).await;
    assert!(source.until_marker(&fake).await.is_empty());
    fake.lose("httproutes");
    fake.put("httproutes", route("a", 2));
    let lost = Instant::now();
    assert_eq!(source.next().await, ["+HTTPRoute default/a 2"]);
    assert_eq!(fake.requests("httproutes"), ["stream", "watch 1"]);
    assert!(lost.elapsed() < Duration::from_secs(100), "{:?}", lost.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_gone_version_means_a_new_listing_with_true_differences() {
    let fake = Fake::new();
    let _ = ["a", "b", "c"].map(|name| fake.put("httproutes", route(name, 1)));
    let (mut source, _) = Source::listed(&fake).await;
    fake.close("httproutes");
    fake.refuse("httproutes", 410, None, "too old");
    fake.delete("httproutes", "b");
    fake.put("httproutes", route("c", 2));
    assert_eq!(source.next().await, ["+HTTPRoute default/c 2", "-HTTPRoute default/b"]);
    fake.requests("httproutes");
    // In the middle of a watch.
    fake.say("httproutes", &json!({"type": "ERROR", "object": {"code": 410, "message": "too old"}}));
    fake.put("httproutes", route("d", 1));
    assert_eq!(source.next().await, ["+HTTPRoute default/d 1"]);
    assert_eq!(fake.requests("httproutes"), ["stream"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_costs_nothing_but_a_fault() {
    let fake = Fake::new();
    fake.put("httproutes", route("a", 1));
    let (mut source, _) = Source::listed(&fake).await;
    fake.down(true);
    let fault = "the API server: it cannot be watched: ServiceError: connection refused; it is asked again and again; what was read before stays in effect";
    assert_eq!(source.next().await, [fault]);
    fake.put("httproutes", route("b", 1));
    tokio::time::sleep(Duration::from_secs(100)).await;
    fake.down(false);
    fake.watched("httproutes").await;
    fake.put("httproutes", route("c", 1));
    let mut events = Vec::new();
    while !events.contains(&"+HTTPRoute default/c 1".to_owned()) {
        events = source.next().await;
        assert!(!events.iter().any(|line| line.starts_with('-')), "{events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttling_server_says_how_long_to_wait() {
    let fake = Fake::new();
    fake.put("httproutes", route("a", 1));
    fake.refuse("httproutes", 429, Some(40), "Too many requests");
    let began = Instant::now();
    let mut source = Source::start(&fake, Vec::new());
    let fault = source.next().await;
    assert!(fault[0].contains("it answered 429: Too many requests"), "{fault:?}");
    let batch = source.batch().await;
    assert!(batch.listed && began.elapsed() >= Duration::from_secs(40));
    assert_eq!(batch.faults, Some(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_server_without_streaming_lists_is_asked_for_pages() {
    let fake = Fake::new();
    let pages = [
        json!({"metadata": {"resourceVersion": "5", "continue": "next"}, "items": [route("a", 1)]}),
        json!({"metadata": {"resourceVersion": "5"}, "items": [route("b", 1)]}),
    ];
    fake.refuse("httproutes", 422, None, "sendInitialEvents is forbidden");
    let _ = pages.map(|page| fake.refuse("httproutes", 200, None, &page.to_string()));
    let (_source, listing) = Source::listed(&fake).await;
    assert_eq!(describe(&listing), ["+HTTPRoute default/a 1", "+HTTPRoute default/b 1"]);
    fake.watched("httproutes").await;
    assert_eq!(fake.requests("httproutes"), ["stream", "page ", "page next", "watch 5"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_promises_a_stream_and_says_nothing_is_asked_for_pages() {
    let fake = Fake::new();
    fake.put("httproutes", route("a", 1));
    fake.silence("httproutes");
    let (_source, listing) = Source::listed(&fake).await;
    assert_eq!(describe(&listing), ["+HTTPRoute default/a 1"]);
    assert_eq!(fake.requests("httproutes")[..2], ["stream", "page "]);
}

#[tokio::test(start_paused = true)]
async fn only_the_namespaces_that_were_asked_for_are_known() {
    let fake = Fake::new();
    let key = |namespace: &str| ResourceKey::local(Kind::HTTP_ROUTE, namespace, "a");
    let known = ["default", "other"].map(|namespace| Known {
        key: key(namespace),
        resource_version: String::new(),
        generation: 1,
        spec_hash: None,
        payload_hash: None,
        without_key: None,
    });
    let options = Options { known: known.into(), namespaces: vec!["default".into()], ..Options::default() };
    let (mut batches, _handle) = start(fake.client(), options, Arc::new(KeyStore::new()));
    let mut batch = batches.recv().await.unwrap();
    while !batch.listed {
        batch = batches.recv().await.unwrap();
    }
    assert_eq!(describe(&batch)[..2], ["-HTTPRoute other/a", "-HTTPRoute default/a"]);
    fake.watched("namespaces").await;
    let query = fake.last_query("namespaces");
    assert!(query.contains("fieldSelector=metadata.name%3Ddefault"), "{query}");
    assert!(fake.last_query("secrets").contains("type%21%3Dhelm.sh%2Frelease.v1"));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_taken_hurts_only_itself() {
    let fake = Fake::new();
    fake.put("httproutes", route("a", 1));
    fake.put("httproutes", route("b", 1));
    let keys = Arc::new(KeyStore::new());
    let limits = Limits {
        schema: |key, value| {
            let bad = value["spec"]["bad"] == true;
            let fault = || proto::Fault {
                object: key.clone(),
                field: "spec.bad".into(),
                problem: "it is bad".into(),
                remedy: "mend it".into(),
            };
            bad.then(fault).into_iter().collect()
        },
        ..Limits::default()
    };
    let (batches, handle) = start(fake.client(), Options { limits, ..Options::default() }, keys.clone());
    let mut source = Source { batches, handle, keys };
    assert!(source.batch().await.listed);
    let mut bad = route("a", 2);
    bad["spec"]["bad"] = true.into();
    fake.put("httproutes", bad);
    assert_eq!(source.next().await, ["HTTPRoute default/a: spec.bad: it is bad; mend it"]);
    assert_eq!(source.handle.seen().get(&route_key("a")).unwrap().generation, 2);
    // A listing keeps its older version, too.
    fake.say("httproutes", &json!({"type": "ERROR", "object": {"code": 410}}));
    fake.put("httproutes", route("b", 2));
    assert_eq!(source.next().await, ["+HTTPRoute default/b 2"]);
    let mut deep = route("b", 3);
    deep["spec"] = (0..300).fold(json!({}), |inner, _| json!({"x": inner}));
    fake.put("httproutes", deep);
    let faults = source.next().await;
    assert!(
        faults[1].starts_with("HTTPRoute default/b: it cannot be decoded (recursion limit"),
        "{faults:?}"
    );
    fake.put("httproutes", route("a", 4));
    fake.put("httproutes", route("b", 4));
    let mut mended = source.next().await;
    while mended.len() < 2 {
        mended.extend(source.next().await);
    }
    let events = mended.iter().filter(|line| line.starts_with('+')).count();
    assert_eq!(events, 2, "{mended:?}");
}

#[tokio::test(start_paused = true)]
async fn it_is_told_whether_trust_bundles_are_served() {
    let (fake, resource) = (Fake::new(), "certificates.k8s.io/v1/clustertrustbundles");
    let (mut source, listing) = Source::listed(&fake).await;
    assert!(describe(&listing).is_empty());
    fake.put("clustertrustbundles", json!({"metadata": {"name": "s:b"}, "spec": {"trustBundle": "x"}}));
    fake.install(resource, true);
    let served = "+APIResource clustertrustbundles.certificates.k8s.io 0";
    let mut told = source.next().await;
    if told.len() < 2 {
        told.extend(source.next().await);
    }
    told.sort_unstable();
    assert_eq!(told, [served, "+ClusterTrustBundle s:b 0"]);
    let key = ResourceKey::local(Kind::API_RESOURCE, "", "clustertrustbundles.certificates.k8s.io");
    let log = Known {
        key,
        resource_version: String::new(),
        generation: 0,
        spec_hash: None,
        payload_hash: None,
        without_key: None,
    };
    // Nobody else takes what the log has of it for an orphan.
    let mut again = Source::start(&fake, vec![log.clone()]);
    assert_eq!(again.next().await, ["+ClusterTrustBundle s:b 0", served]);
    fake.install(resource, false);
    fake.close("clustertrustbundles");
    let mut gone = source.next().await;
    gone.sort_unstable();
    assert_eq!(gone, [format!("-{}", &served[1..served.len() - 2]), "-ClusterTrustBundle s:b".to_owned()]);
    let mut after = Source::start(&fake, vec![log]);
    assert_eq!(after.next().await, ["-APIResource clustertrustbundles.certificates.k8s.io"]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_crd_is_waited_for_and_one_that_goes_takes_its_objects_along() {
    let (fake, resource) = (Fake::new(), format!("{GATEWAY_API}/v1/backendtlspolicies"));
    fake.install(&resource, false);
    let policy = json!({"metadata": {"name": "p", "namespace": "default", "generation": 1}, "spec": {}});
    fake.put("backendtlspolicies", policy);
    let mut source = Source::start(&fake, Vec::new());
    let first = source.batch().await;
    // The fault does not wait for the listing.
    let all = if first.listed { describe(&first) } else { [describe(&first), source.next().await].concat() };
    assert_eq!(
        all,
        [format!(
            "backendtlspolicies.{GATEWAY_API}: its CRD is not installed, so there are no such objects; install the CRDs of the Gateway API; it is waited for"
        )]
    );
    assert_eq!(source.handle.seen().api(&Kind::BACKEND_TLS_POLICY), None);
    fake.install(&resource, true);
    let mut batch = source.batch().await;
    assert_eq!(batch.faults.take(), Some(Vec::new()));
    let events = if batch.events.is_empty() { source.next().await } else { describe(&batch) };
    assert_eq!(events, ["+BackendTLSPolicy default/p 1"]);
    fake.install(&resource, false);
    fake.close("backendtlspolicies");
    assert_eq!(source.next().await[0], "-BackendTLSPolicy default/p");
    // Nothing is said of what is only asked for in vain.
    fake.install(&format!("{GATEWAY_API}/v9/backendtlspolicies"), true);
    let fault = source.next().await;
    assert!(
        fault[0].contains("it is served in version v9 only, and v1 or v1alpha3 can be read"),
        "{fault:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_know_of_a_crd_yet_deletes_nothing() {
    let (fake, resource) = (Fake::new(), format!("{GATEWAY_API}/v1/httproutes"));
    fake.put("httproutes", route("a", 1));
    let (mut source, _) = Source::listed(&fake).await;
    fake.install(&resource, false);
    fake.close("httproutes");
    tokio::time::sleep(Duration::from_secs(9)).await;
    fake.install(&resource, true);
    fake.watched("httproutes").await;
    assert!(source.until_marker(&fake).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refused_listing_deletes_nothing_while_the_crd_is_there() {
    let fake = Fake::new();
    fake.put("httproutes", route("a", 1));
    let (mut source, _) = Source::listed(&fake).await;
    fake.refuse("httproutes", 404, None, "404 page not found");
    fake.refuse("httproutes", 404, None, "404 page not found");
    fake.refuse("httproutes", 403, None, "forbidden");
    fake.close("httproutes");
    let fault = source.next().await;
    assert!(fault[0].contains("it lists the resource and answers 404 for it"), "{fault:?}");
    let fault = source.next().await;
    assert!(fault[0].starts_with(&format!("httproutes.{GATEWAY_API}: it may not be read (forbidden); ")));
    assert_eq!(source.next().await, [] as [&str; 0]);
    assert!(source.until_marker(&fake).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_restart_emits_true_differences_only() {
    let fake = Fake::new();
    let _ = ["a", "b", "c", "d"].map(|name| fake.put("httproutes", route(name, 1)));
    let (source, listing) = Source::listed(&fake).await;
    drop(source);
    let known: Vec<Known> = listing.events.iter().filter_map(Known::of).collect();
    fake.put("httproutes", route("b", 2));
    fake.delete("httproutes", "c");
    let mut written = route("d", 1);
    written["status"] = json!({"parents": []});
    fake.put("httproutes", written);
    let mut source = Source::start(&fake, known);
    let batch = source.batch().await;
    assert!(batch.listed);
    assert_eq!(describe(&batch), ["+HTTPRoute default/b 2", "-HTTPRoute default/c"]);
}

fn secret(r#type: &str, parts: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<_, _> =
        parts.iter().map(|(name, value)| ((*name).to_owned(), STANDARD.encode(value).into())).collect();
    json!({"metadata": {"name": "tls", "namespace": "default"}, "type": r#type, "data": data})
}

#[tokio::test(start_paused = true)]
async fn a_rotated_secret_brings_its_key_and_never_shows_it() {
    let fake = Fake::new();
    let pairs = [(); 2].map(|()| {
        let pair = rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).unwrap();
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    });
    let (mut source, _) = Source::listed(&fake).await;
    for (certificate, key) in &pairs {
        fake.put("secrets", secret("kubernetes.io/tls", &[("tls.crt", certificate), ("tls.key", key)]));
        let batch = source.batch().await;
        let Change::Upsert(payload) = &batch.events[0].change else { panic!() };
        let text = std::str::from_utf8(payload).unwrap();
        assert!(text.contains(&STANDARD.encode(certificate)) && !text.contains(&STANDARD.encode(key)));
    }
    let secret_key = ResourceKey::local(Kind::SECRET, "default", "tls");
    for (certificate, key) in &pairs {
        let certificate = ContentHash::of(certificate.as_bytes());
        let kept = source.keys.private_key(&PrivateKeyRef { secret: secret_key.clone(), certificate });
        assert_eq!(kept.unwrap(), key.as_bytes());
    }
    fake.put("secrets", secret("Opaque", &[("password", "hidden")]));
    assert_eq!(source.next().await, ["-Secret default/tls"]);
    assert!(source.until_marker(&fake).await.is_empty());
    assert_eq!(format!("{:?}", source.keys), "KeyStore(0 secrets, redacted)");
}
