//! Against the real Envoy that FLEETGATE_ENVOY names.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use distribute::Options;
use proto::{Delta, Feedback, Revision, XdsKey, XdsKind};

use crate::{
    bed::Server,
    pieces::{bad_cluster, bad_host, cluster, delta, endpoints, host, key, listener, table, web},
    proxy::{Backend, Envoy, free_port, get},
};

/// Cluster `one` with a backend of its name, and host `a.test` that uses it.
fn first(port: u16, backend: &Backend) -> Delta {
    let puts = vec![
        cluster("one"),
        endpoints("one", backend.port),
        listener("l", port, "t"),
        table("t"),
        host("a.test", "one"),
    ];
    delta(1, puts, Vec::new())
}

/// Server and Envoy with [`first`].
async fn started() -> Option<(Server, Envoy, Backend)> {
    let binary = needs::envoy()?;
    let mut server = Server::start().await;
    let backend = Backend::start("one").await;
    let port = free_port();
    server.distributor.publish(&first(port, &backend));
    let envoy = Envoy::start(&binary, server.address, port);
    server.acked(1).await;
    envoy.listens().await;
    Some((server, envoy, backend))
}

#[tokio::test]
async fn a_fresh_envoy_gets_everything_and_a_request_works() {
    let Some((server, envoy, _backend)) = started().await else { return };
    assert_eq!(get(envoy.port, "a.test").await, (200, "one".into()));
    assert_eq!(get(envoy.port, "b.test").await.0, 404);
    let proxy = server.proxy();
    assert_eq!(proxy.envoy_version, "1.40.0");
    assert_eq!((proxy.resources_sent, proxy.acked), (4, Revision(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moving_to_a_new_cluster_loses_no_request() {
    let Some((mut server, envoy, backend)) = started().await else { return };
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (port, stopped, count) = (envoy.port, stop.clone(), asked.clone());
    let load = tokio::spawn(async move {
        let mut wrong = Vec::new();
        while !stopped.load(Ordering::Acquire) {
            let answer = get(port, "a.test").await;
            if answer != (200, "one".into()) {
                wrong.push(answer);
            }
            count.fetch_add(1, Ordering::AcqRel);
        }
        wrong
    });
    let mut old = "one".to_owned();
    for revision in 2..32 {
        let new = format!("c{revision}");
        let puts = vec![cluster(&new), endpoints(&new, backend.port), host("a.test", &new)];
        let removes = vec![key(XdsKind::Cluster, &old), key(XdsKind::Endpoints, &old)];
        server.distributor.publish(&delta(revision, puts, removes));
        // Every third time without waiting, so that changes meet pushes under way.
        if revision % 3 != 0 {
            server.acked(revision).await;
        }
        old = new;
    }
    stop.store(true, Ordering::Release);
    assert_eq!(load.await.unwrap(), [], "of {}", asked.load(Ordering::Acquire));
    assert!(asked.load(Ordering::Acquire) > 10);
    assert!(server.proxy().last_nack.is_none());
}

#[tokio::test]
async fn a_removed_cluster_and_host_are_gone() {
    let Some((mut server, envoy, _backend)) = started().await else { return };
    let removes = vec![
        key(XdsKind::Cluster, "one"),
        key(XdsKind::Endpoints, "one"),
        XdsKey::virtual_host(web(), "t", "a.test"),
    ];
    server.distributor.publish(&delta(2, vec![host("b.test", "none")], removes));
    server.acked(2).await;
    envoy.answers("a.test", 404).await;
    assert_eq!(get(envoy.port, "b.test").await.0, 503);
}

#[tokio::test]
async fn one_bad_host_hurts_only_itself() {
    let Some((mut server, envoy, backend)) = started().await else { return };
    let two = Backend::start("two").await;
    let puts = vec![
        bad_host("a.test", "/(bad", "one"),
        cluster("two"),
        endpoints("two", two.port),
        host("b.test", "one"),
    ];
    server.distributor.publish(&delta(2, puts, Vec::new()));
    let nacked = |one: &Feedback| match one {
        Feedback::Nacked { keys, message, .. } if !keys.is_empty() => Some((keys.clone(), message.clone())),
        _ => None,
    };
    let (keys, message) = server.feedback(nacked).await;
    assert_eq!(keys, [XdsKey::virtual_host(web(), "t", "a.test")], "{message}");
    envoy.answers("b.test", 200).await;
    assert_eq!(get(envoy.port, "a.test").await, (200, "one".into()), "keeps its last good version");

    server.distributor.publish(&delta(3, vec![host("b.test", "two")], Vec::new()));
    server.acked(3).await;
    envoy.answers_with("b.test", "two").await;
    assert_eq!(get(envoy.port, "a.test").await, (200, "one".into()));

    server.distributor.publish(&delta(4, vec![host("a.test", "two")], Vec::new()));
    let healed = |one: &Feedback| match one {
        Feedback::Healed { keys, .. } => Some(keys.clone()),
        _ => None,
    };
    assert_eq!(server.feedback(healed).await, keys);
    envoy.answers_with("a.test", "two").await;
    drop(backend);
}

/// A rule that the table breaks as a message: Envoy drops all of it, and dumps it in its answer.
#[tokio::test]
async fn a_host_that_breaks_a_rule_is_blamed_in_short_and_the_others_of_its_push_go_live() {
    let Some((mut server, envoy, _backend)) = started().await else { return };
    let puts = vec![
        bad_host("bad.test", "", "one"),
        host("b.test", "one"),
        host("c.test", "one"),
        bad_host("*.bad.test", "", "one"),
    ];
    server.distributor.publish(&delta(2, puts, Vec::new()));
    let (mut blamed, mut refusals) = (Vec::new(), 0);
    while blamed.len() < 2 {
        let nacked = |one: &Feedback| match one {
            Feedback::Nacked { keys, message, .. } => Some((keys.clone(), message.clone())),
            _ => None,
        };
        let (keys, message) = server.feedback(nacked).await;
        assert_eq!(message, "RegexMatcherValidationError.Regex: value length must be at least 1 characters");
        blamed.extend(keys);
        refusals += 1;
    }
    blamed.sort();
    let mut bad = ["bad.test", "*.bad.test"].map(|domain| XdsKey::virtual_host(web(), "t", domain));
    bad.sort();
    assert_eq!(blamed, bad);
    assert!(refusals < 10, "{refusals} refusals");
    server.acked(2).await;
    for domain in ["a.test", "b.test", "c.test"] {
        envoy.answers(domain, 200).await;
    }
    envoy.answers("bad.test", 404).await;
}

#[tokio::test]
async fn a_bad_cluster_hurts_only_itself() {
    let Some((mut server, envoy, backend)) = started().await else { return };
    let puts =
        vec![bad_cluster("bad"), cluster("good"), endpoints("good", backend.port), host("b.test", "good")];
    server.distributor.publish(&delta(2, puts, Vec::new()));
    let nacked = |one: &Feedback| match one {
        // The first refusal names nobody: Envoy drops the whole push.
        Feedback::Nacked { keys, .. } if !keys.is_empty() => Some(keys.clone()),
        _ => None,
    };
    assert_eq!(server.feedback(nacked).await, [key(XdsKind::Cluster, "bad")]);
    envoy.answers("b.test", 200).await;
}

#[tokio::test]
async fn a_restarted_server_resends_nothing() {
    let Some((mut server, envoy, backend)) = started().await else { return };
    server.stop().await;
    assert_eq!(get(envoy.port, "a.test").await.0, 200, "serves without its server");
    let mut server = Server::at(server.address, Options::default()).await;
    server.distributor.publish(&first(envoy.port, &backend));
    server.acked(1).await;
    assert_eq!(server.proxy().resources_sent, 0);

    server.stop().await;
    let mut server = Server::at(server.address, Options::default()).await;
    let mut changed = first(envoy.port, &backend);
    changed.revision = Revision(2);
    changed.puts.push(host("b.test", "one"));
    server.distributor.publish(&changed);
    server.acked(2).await;
    envoy.answers("b.test", 200).await;
    assert_eq!(server.proxy().resources_sent, 1, "the table");
}

/// A bad host that a server finds when it starts, at an Envoy that stayed up: the others are served all the while, and
/// change.
#[tokio::test]
async fn a_bad_host_at_a_restart_holds_up_no_other() {
    let Some((mut server, envoy, backend)) = started().await else { return };
    server.distributor.publish(&delta(2, vec![host("c.test", "one")], Vec::new()));
    server.acked(2).await;
    server.stop().await;
    let (stop, port) = (Arc::new(AtomicBool::new(false)), envoy.port);
    let stopped = Arc::clone(&stop);
    let load = tokio::spawn(async move {
        let mut wrong = Vec::new();
        while !stopped.load(Ordering::Acquire) {
            wrong.extend(Some(get(port, "c.test").await).filter(|answer| *answer != (200, "one".into())));
        }
        wrong
    });
    let mut server = Server::at(server.address, Options::default()).await;
    let mut changed = first(envoy.port, &backend);
    changed.revision = Revision(3);
    changed.puts.pop();
    let hosts = [bad_host("a.test", "/(bad", "one"), host("b.test", "one"), host("c.test", "one")];
    changed.puts.extend(hosts);
    server.distributor.publish(&changed);
    let nacked = |one: &Feedback| match one {
        Feedback::Nacked { keys, .. } if !keys.is_empty() => Some(keys.clone()),
        _ => None,
    };
    assert_eq!(server.feedback(nacked).await, [XdsKey::virtual_host(web(), "t", "a.test")]);
    server.acked(3).await;
    envoy.answers("b.test", 200).await;
    envoy.answers("a.test", 404).await;
    server.distributor.publish(&delta(4, vec![host("a.test", "one")], Vec::new()));
    envoy.answers("a.test", 200).await;
    stop.store(true, Ordering::Release);
    assert_eq!(load.await.unwrap(), []);
}
