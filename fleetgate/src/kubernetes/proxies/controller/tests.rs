//! What a replica that becomes the leader finds.

use std::sync::Arc;
use std::time::SystemTime;

use ingest::kubernetes::source::{Observed as Source, Seen};
use kube::{Client, Config};
use proto::{Kind, ProxySpec, ResourceKey};
use tokio::sync::watch;

use super::{Controller, HANDOVER, State, Wanted};
use crate::kubernetes::proxies::Settings;
use crate::kubernetes::proxies::owned::{Change, Observed, Told, What};
use crate::pki::Authority;

fn gateway(name: &str) -> ResourceKey {
    ResourceKey::local(Kind::GATEWAY, "default", name)
}

/// There are Gateways with these names, and the first ones are ours.
fn state(names: &[&str], ours: &'static [&str]) -> State {
    let (certificate, key) = Authority::make(SystemTime::now()).unwrap();
    let authority = Arc::new(Authority::open(&certificate, &key, "").unwrap());
    let seen = Seen::default();
    for name in names {
        let there = Source {
            uid: (*name).into(),
            resource_version: "1".into(),
            generation: 1,
            status: serde_json::Value::Null,
        };
        seen.put(&gateway(name), Some(there));
    }
    State::new(Controller {
        client: Client::try_from(Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap(),
        settings: Settings::of("envoy", "xds", 1),
        namespaces: Vec::new(),
        seen,
        authorities: watch::channel(authority).1,
        tell: Box::new(|gateway, deployed| {
            if let Some((_, problem)) = deployed.and_then(|deployed| deployed.problem) {
                assert!(gateway.namespace == "kube-system" && problem.contains("kube-system"), "{problem}");
            }
        }),
        is_ours: Box::new(|gateway| ours.contains(&gateway.name.as_str())),
    })
}

/// The API server has a Service of this Gateway's proxies.
fn owned(state: &mut State, name: &str) {
    let observed = Observed {
        uid: name.to_owned(),
        fingerprint: blake3::hash(b""),
        service: serde_json::Value::Null,
        is_available: false,
    };
    let change = Change {
        what: What::Service,
        namespace: "default".to_owned(),
        name: format!("gloo-proxy-{name}"),
        state: Some((gateway(name), observed)),
    };
    state.hear(Told::Change(change));
}

fn unwanted(state: &State) -> Vec<&str> {
    let mut names: Vec<&str> = state
        .wanted
        .iter()
        .filter(|(_, wanted)| matches!(wanted, Wanted::Nothing(_)))
        .map(|(gateway, _)| gateway.name.as_str())
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn what_is_left_of_gateways_that_moved_away_is_taken_away_once_all_is_known() {
    let mut state = state(&["moved", "managed", "refused"], &["managed", "refused"]);
    for name in ["moved", "managed", "refused", "deleted"] {
        owned(&mut state, name);
    }
    state.want(gateway("managed"), Wanted::Managed(Arc::new(ProxySpec::default())));
    for what in What::ALL {
        state.hear(Told::Listed((what, None)));
        state.prune();
        assert!(unwanted(&state).is_empty(), "it is not known yet which Gateways there are");
    }
    state.prune = true;
    state.prune();
    // One that is not accepted keeps what it has, and the API server clears up after one that is deleted.
    assert_eq!(unwanted(&state), ["moved"]);
}

#[tokio::test]
async fn nothing_is_taken_away_before_all_is_listed() {
    let mut state = state(&["moved"], &[]);
    state.prune = true;
    owned(&mut state, "moved");
    let (last, first) = What::ALL.split_last().unwrap();
    for what in first {
        state.hear(Told::Listed((*what, None)));
        state.prune();
    }
    assert!(unwanted(&state).is_empty());
    state.hear(Told::Listed((*last, None)));
    state.prune();
    assert_eq!(unwanted(&state), ["moved"]);
}

#[tokio::test]
async fn nothing_is_written_where_kubernetes_itself_is() {
    let mut state = state(&[], &[]);
    let system = ResourceKey::local(Kind::GATEWAY, "kube-system", "web");
    for wanted in [Wanted::Managed(Arc::new(ProxySpec::default())), Wanted::moved()] {
        state.want(system.clone(), wanted);
        assert!(state.wanted.is_empty() && state.due.take().is_none());
    }
}

#[tokio::test]
async fn each_watched_namespace_is_listed_before_anything_is_taken_away() {
    let mut state = state(&["moved"], &[]);
    state.controller.namespaces = vec!["default".to_owned(), "other".to_owned()];
    state.prune = true;
    owned(&mut state, "moved");
    for namespace in ["default", "other"] {
        assert!(!state.all_listed());
        for what in What::ALL {
            state.hear(Told::Listed((what, Some(namespace.to_owned()))));
        }
    }
    assert!(state.all_listed());
}

#[tokio::test(start_paused = true)]
async fn what_another_controller_has_now_stays_until_its_own_can_be_there() {
    let mut state = state(&["moved"], &[]);
    for what in What::ALL {
        state.hear(Told::Listed((what, None)));
    }
    owned(&mut state, "moved");
    state.want(gateway("moved"), Wanted::moved());
    state.start();
    assert!(state.jobs.is_empty());
    // News of it do not hasten it.
    state.due.now(gateway("moved"));
    state.start();
    assert!(state.jobs.is_empty());
    tokio::time::advance(HANDOVER).await;
    state.start();
    assert_eq!(state.jobs.len(), 1);
}
