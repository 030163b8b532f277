//! Edits by which tables split and join, and hosts move between exact hostnames, wildcards and none, under traffic.

use std::sync::Arc;

use super::changes::{CLIENTS, Case, Traffic, write};
use super::config::{Config, HttpRoute, Listener, Rule};
use super::fleet::{Client, Fleet, Way};
use super::requests::Request;
use crate::harness::until;

const SERVED: &[Way] = &[
    ("tables of one", &["--route-table-size", "1"]),
    ("tables of eight", &["--route-table-size", "8"]),
    ("tables of 128", &[]),
];
/// With these, one more wildcard and `*`, which is always there, all fit into a table of 128; not if one more route is
/// for all of them.
const WILDCARDS: usize = 62;
const EXACT: usize = 40;
/// Whether the first edits leave the wildcards in several tables of the default size.
const SPLIT: [bool; 4] = [true, false, true, false];

#[tokio::test]
async fn nothing_is_wrong_while_tables_split_and_join() {
    let Some(fleet) = Fleet::start(SERVED).await else { return };
    let before = config(&["*.moved.test"], &["e1.test"]);
    fleet.apply(0, &Config { listeners: before.listeners.clone(), routes: Vec::new() }).await;
    write(&fleet, 1, &before);
    fleet.live(1).await;

    let edits: [(&[&str], &[&str]); 22] = [
        (&[], &["e1.test"]),
        (&["*.moved.test"], &["e1.test"]),
        (&[], &["e1.test"]),
        (&["e1.test"], &["e1.test"]),
        (&[], &["e1.test"]),
        (&["*.x.moved.test", "e2.test"], &["e1.test"]),
        // Both change places, in one write.
        (&["e1.test"], &["*.x.moved.test", "e2.test"]),
        (&[], &["*.x.moved.test"]),
        (&["*.moved.test"], &[]),
        (&["y.moved.test"], &["*.moved.test"]),
        (&[], &[]),
        (&["e1.test", "e3.test"], &["y.moved.test"]),
        (&["y.moved.test"], &["e1.test", "e3.test"]),
        (&["only.test"], &["e1.test"]),
        (&[], &["e1.test"]),
        (&["only.test"], &["e1.test"]),
        (&[], &["e1.test"]),
        (&["only.test"], &[]),
        (&["*.moved.test"], &["only.test"]),
        (&["only.test"], &["*.moved.test"]),
        (&[], &["only.test"]),
        (&["*.moved.test"], &["e1.test"]),
    ];
    let requests = Arc::new(requests());
    let mut clients: Vec<Vec<Client>> =
        fleet.members.iter().map(|member| (0..CLIENTS).map(|_| member.client()).collect()).collect();
    let mut config_before = before;
    for (step, (first, second)) in (2..).zip(edits) {
        let after = config(first, second);
        let traffic = Traffic::start(&mut clients, &requests).await;
        write(&fleet, step, &after);
        fleet.live(step).await;
        let answers = traffic.stop(&mut clients).await;
        let case = Case { before: &config_before, after: &after, requests: &requests };
        for (member, answers) in fleet.members.iter().zip(&answers) {
            case.check(answers, &format!("step {step}, {}", member.way));
        }
        if let Some(is_split) = SPLIT.get(step - 2) {
            until("the default size is crossed", async || {
                let tables = fleet.members[2].tables().await;
                let found = tables.iter().any(|name| name.contains("#wildcard/"));
                if found == *is_split { Ok(()) } else { Err(format!("{tables:?}")) }
            })
            .await;
        }
        config_before = after;
    }
}

fn config(first: &[&str], second: &[&str]) -> Config {
    let listener = Listener { name: "open".to_owned(), port: 0, hostname: None };
    let wildcards = (0..WILDCARDS).map(|n| route(&format!("w{n}"), &[&format!("*.w{n}.test")]));
    let exact = (0..EXACT).map(|n| route(&format!("e{n}"), &[&format!("e{n}.test")]));
    let moved = [route("first", first), route("second", second)];
    Config { listeners: vec![listener], routes: wildcards.chain(exact).chain(moved).collect() }
}

fn route(name: &str, hostnames: &[&str]) -> HttpRoute {
    HttpRoute {
        namespace: super::config::NAMESPACES[0],
        name: name.to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        sections: vec!["open".to_owned()],
        hostnames: hostnames.iter().map(|name| (*name).to_owned()).collect(),
        rules: vec![Rule { id: name.to_owned(), matches: Vec::new(), weights: None }],
    }
}

fn requests() -> Vec<Request> {
    let wildcards = (0..WILDCARDS).step_by(3).map(|n| format!("a.w{n}.test"));
    let exact = (0..EXACT).step_by(5).map(|n| format!("e{n}.test"));
    let moved = [
        "e1.test",
        "e2.test",
        "e3.test",
        "only.test",
        "a.moved.test",
        "y.moved.test",
        "a.x.moved.test",
        "other",
    ];
    let hosts = wildcards.chain(exact).chain(moved.map(str::to_owned));
    let request = |host| Request {
        port: 0,
        http2: false,
        method: "GET",
        host,
        target: "/".to_owned(),
        headers: Vec::new(),
    };
    hosts.map(request).collect()
}
