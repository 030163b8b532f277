//! Requests that are odd, too long or not well formed: an Envoy that walks small tables answers them as one
//! with a single table does.

use loadtest::backend::Echo;

use super::bad_requests::{Case, cases};
use super::config::{Config, HttpRoute, Listener, Match, PathMatch, Rule};
use super::fleet::{Fleet, Member, PLAIN, Seen, Way};
use super::wire::{Reply, Wire};
use crate::harness::{Ask, Connection, until};

const SERVED: &[Way] = &[
    (PLAIN, &["--proxy-module", "none"]),
    ("tables of one", &["--route-table-size", "1"]),
    ("tables of ten", &["--route-table-size", "10"]),
];
/// Hosts with a rule each, and rules of one host.
const MANY: usize = 24;
const TABLE_HEADER: &str = "x-fleetgate-table";

#[tokio::test]
async fn bad_requests_are_answered_as_by_one_table() {
    let Some(fleet) = started().await else { return };
    let mut wrong = String::new();
    for Case { name, bytes, narrow, wide } in cases() {
        for (port, expected) in [(0, narrow), (1, wide)] {
            let mut answers = Vec::new();
            for member in &fleet.members {
                answers.push(answer(member.ports[port], &bytes).await);
            }
            let first = &answers[0];
            let as_expected = first.as_ref().is_ok_and(|reply| {
                let seen = Seen::of(reply);
                (seen.status, seen.rule.as_deref().unwrap_or("")) == expected
            });
            let alike = |other: &Result<Reply, String>| comparable(other) == comparable(first);
            if !as_expected || !answers.iter().all(alike) {
                wrong += &format!("{name}, port {port}: not {expected:?}\n");
                for (member, reply) in fleet.members.iter().zip(&answers) {
                    wrong += &format!("    {}: {:.300}\n", member.way, comparable(reply));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    nothing_leaks(&fleet);
}

/// The answer over a connection of its own, which then still serves or is opened anew.
async fn answer(port: u16, bytes: &[u8]) -> Result<Reply, String> {
    let mut wire = Wire::to(port);
    let reply = wire.ask(bytes, false).await;
    let good = b"GET / HTTP/1.1\r\nhost: h1.example.com\r\n\r\n";
    // A connection that Envoy closed without saying so shows it once.
    let next = match wire.ask(good, false).await {
        Err(_) => wire.ask(good, false).await,
        next => next,
    };
    assert_eq!(next.map(|reply| Seen::of(&reply).rule), Ok(Some("h1".to_owned())));
    reply
}

/// All of an answer but for what differs from one request to the next.
fn comparable(reply: &Result<Reply, String>) -> String {
    let mut reply = match reply {
        Ok(reply) => reply.clone(),
        Err(error) => return error.clone(),
    };
    reply.headers.retain(|(name, _)| !["date", "x-envoy-upstream-service-time"].contains(&name.as_str()));
    let body = match serde_json::from_slice::<Echo>(&reply.body) {
        Ok(mut echo) => {
            echo.headers.remove("x-request-id");
            format!("{echo:?}")
        }
        Err(_) => String::from_utf8_lossy(&reply.body).into_owned(),
    };
    format!("{} {:?} {body}", reply.status, reply.headers)
}

/// `:authority` decides, as `Host` of HTTP/1.1 does.
#[tokio::test]
async fn of_two_names_in_http2_the_authority_counts() {
    let Some(fleet) = started().await else { return };
    for (authority, host, rule) in
        [("h3.example.com", "h4.example.com", "h3"), ("nobody.test", "h4.example.com", "any")]
    {
        let ask = Ask::get(authority, "/").header("host", host);
        let direct = fleet.backends()[0].addr.port();
        let sent = Connection::h2c(direct).await.unwrap().ask(&ask).await.unwrap().echo();
        assert_eq!(sent.header("host"), Some(host), "the client sends both: {sent:?}");
        for member in &fleet.members {
            let answer = Connection::h2c(member.ports[1]).await.unwrap().ask(&ask).await.unwrap();
            let location = answer.header("location").and_then(|to| to.split('.').next().map(str::to_owned));
            let seen = answer.header("x-rule").or_else(|| location.map(|to| to.replace("http://", "")));
            assert_eq!(seen.as_deref(), Some(rule), "{}: {answer:?}", member.way);
        }
    }
    nothing_leaks(&fleet);
}

#[tokio::test]
async fn no_client_chooses_its_table() {
    let Some(fleet) = started().await else { return };
    let mut values = vec![String::new(), "garbage".to_owned(), "x".repeat(10_000), "\u{fc}".to_owned()];
    for member in &fleet.members {
        let tables = member.tables().await;
        assert!(member.way == PLAIN || tables.len() > 10, "{}: {tables:?}", member.way);
        values.extend(tables);
    }
    values.sort();
    values.dedup();
    for (host, path, rule) in [("one.example.com", "/p7", "p7"), ("a.wild.example.com", "/", "wild")] {
        for member in &fleet.members {
            let mut wire = Wire::to(member.ports[0]);
            for value in &values {
                for header in [
                    format!("{TABLE_HEADER}: {value}\r\n"),
                    format!("X-Fleetgate-Table: {value}\r\n{TABLE_HEADER}: {value}\r\n"),
                ] {
                    let text = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{header}\r\n");
                    let reply = wire.ask(text.as_bytes(), false).await.unwrap();
                    assert_eq!(Seen::of(&reply).rule.as_deref(), Some(rule), "{}: {text}", member.way);
                }
            }
        }
    }
    for member in &fleet.members {
        to_backends(member, &fleet, &values).await;
    }
}

/// What reaches the backends, straight and mirrored.
async fn to_backends(member: &Member, fleet: &Fleet, values: &[String]) {
    let mut wire = Wire::to(member.ports[0]);
    for value in values {
        let header = if value.is_empty() { String::new() } else { format!("{TABLE_HEADER}: {value}\r\n") };
        let text = format!("GET / HTTP/1.1\r\nhost: mirror.example.com\r\n{header}\r\n");
        let seen = Seen::of(&wire.ask(text.as_bytes(), false).await.unwrap());
        assert_eq!((seen.status, seen.backend.as_deref()), (200, Some("left")), "{}: {text}", member.way);
    }
    until("the mirror has had all", async || {
        let had = fleet.backends()[1].seen().len();
        if had >= values.len() { Ok(()) } else { Err(format!("{had} of {}", values.len())) }
    })
    .await;
    nothing_leaks(fleet);
    fleet.backends().iter().for_each(loadtest::backend::Backend::forget);
}

fn nothing_leaks(fleet: &Fleet) {
    for backend in fleet.backends() {
        for seen in backend.seen() {
            assert_eq!(seen.header(TABLE_HEADER), None, "{seen:?}");
        }
    }
}

/// Instances with a configuration of many tables; on port 1 a route takes what no other one does.
async fn started() -> Option<Fleet> {
    let fleet = Fleet::start(SERVED).await?;
    let listener = |name: &str, port| Listener { name: name.to_owned(), port, hostname: None };
    let one = |id: String, hostname: &str, path: Option<&str>| {
        let path = path.map(|path| PathMatch::Prefix(path.to_owned()));
        let matches = vec![Match { path, ..Match::default() }];
        HttpRoute {
            namespace: "blue",
            name: id.clone(),
            created: "2026-01-01T00:00:00Z".to_owned(),
            sections: Vec::new(),
            hostnames: vec![hostname.to_owned()],
            rules: vec![Rule { id, matches, weights: None }],
        }
    };
    let mut routes = vec![one("wild".to_owned(), "*.wild.example.com", None)];
    for number in 0..MANY {
        routes.push(one(format!("h{number}"), &format!("h{number}.example.com"), None));
        routes.push(one(format!("p{number}"), "one.example.com", Some(&format!("/p{number}"))));
    }
    let mut any = one("any".to_owned(), "", None);
    (any.sections, any.hostnames) = (vec!["wide".to_owned()], Vec::new());
    any.rules[0].weights = Some([1, 0]);
    routes.push(any);
    for member in &fleet.members {
        member.instance.write("mirror.yaml", MIRRORED);
    }
    fleet.apply(0, &Config { listeners: vec![listener("narrow", 0), listener("wide", 1)], routes }).await;
    Some(fleet)
}

const MIRRORED: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: mirror, namespace: blue}
spec:
  parentRefs: [{name: shared, namespace: infra, sectionName: narrow}]
  hostnames: [mirror.example.com]
  rules:
  - filters: [{type: RequestMirror, requestMirror: {backendRef: {name: right, port: 80}}}]
    backendRefs: [{name: left, port: 80}]
";
