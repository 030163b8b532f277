//! Who is not to blame for a refusal.

use proto::{Put, XdsKey, XdsKind};

use super::bench::{Bench, gateway, put, shown};
use crate::{
    resource::ResourceType::{Listener, Route},
    xds::{Notice, Output},
};

fn host(table: &str, domain: &str, body: &'static str) -> Put {
    put(XdsKind::VirtualHost, table, domain, body)
}

/// Two listeners with a table each.
fn two_tables() -> Bench {
    let mut bench = Bench::started();
    let puts = [
        put(XdsKind::Listener, "m", "", "m1"),
        put(XdsKind::RouteTable, "u", "", "\x0a\x01u"),
        host("u", "i", "i1"),
    ];
    let out = bench.publish(2, &puts, &[]);
    bench.ack_all(out);
    let out = bench.request(Route, &["u"], 0, None);
    assert_eq!(bench.ack_all(out), ["rds u"]);
    assert_eq!(bench.session.acked.0, 2);
    bench
}

/// Answers all pushes as an Envoy does that refuses what contains `bad`; the pieces that were blamed.
fn answer(bench: &mut Bench, out: Output, message: &str) -> Vec<XdsKey> {
    let (mut queue, mut blamed, mut pushes) = (vec![out], Vec::new(), 0);
    while let Some(out) = queue.pop() {
        for notice in &out.notices {
            if let Notice::Nacked { keys, .. } = notice {
                blamed.extend(keys.iter().cloned());
            }
        }
        for one in &out.responses {
            pushes += 1;
            assert!(pushes < 30, "does not settle");
            let is_bad = |body: &[u8]| body.windows(3).any(|part| part == b"bad");
            let bad = one.resources.iter().any(|resource| is_bad(&resource.body));
            queue.push(bench.request(one.kind, &[], one.nonce, bad.then_some(message)));
        }
    }
    blamed.sort();
    blamed.dedup();
    blamed
}

fn body(bench: &mut Bench, table: &str) -> String {
    let (body, _) = bench.scope.body(Route, &table.into()).unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[test]
fn a_table_is_not_condemned_with_another_of_the_same_push() {
    for message in ["no", "missing ): bad", "invalid 'i2': bad", "VirtualHosts[0]"] {
        let mut bench = two_tables();
        let out = bench.publish(3, &[host("t", "h", "bad"), host("u", "i", "i2")], &[]);
        assert_eq!(out.responses.iter().map(shown).collect::<Vec<_>>(), ["rds t,u"]);
        let blamed = answer(&mut bench, out, message);
        assert_eq!(blamed, [XdsKey::virtual_host(gateway(), "t", "h")], "{message}");
        assert!(body(&mut bench, "u").contains("i2"), "{message}");
        assert!(body(&mut bench, "t").contains("h1"), "{message}");
        assert_eq!(bench.session.acked.0, 3);
        let out = bench.publish(4, &[host("t", "h", "h4")], &[]);
        assert_eq!(answer(&mut bench, out, message), []);
        assert!(body(&mut bench, "t").contains("h4"), "{message}");
    }
}

/// What Envoy has unsubscribed from when a push comes, it ignores, and its ACK says nothing of it.
#[test]
fn an_ack_proves_only_what_is_subscribed_to() {
    let mut bench = two_tables();
    let out = bench.publish(3, &[host("t", "h", "h3"), host("u", "i", "bad")], &[]);
    let nonce = out.responses[0].nonce;
    bench.unsubscribe(Route, "u");
    // Of `t` as it should be: of `u` it says nothing.
    bench.request(Route, &[], nonce, None);
    let out = bench.request(Route, &["u"], 0, None);
    let blamed = answer(&mut bench, out, "no");
    assert_eq!(blamed, [XdsKey::virtual_host(gateway(), "u", "i")]);
    assert!(body(&mut bench, "u").contains("i1") && body(&mut bench, "t").contains("h3"));
}

/// What was replaced while its push was unanswered is not what the answer is about.
#[test]
fn a_newer_version_is_not_condemned_for_an_older_one() {
    let mut bench = two_tables();
    let out = bench.publish(3, &[host("t", "h", "bad"), host("t", "j", "j3")], &[]);
    let nonce = out.responses[0].nonce;
    assert!(bench.publish(4, &[host("t", "h", "h4")], &[]).responses.is_empty());
    let mut out = bench.request(Route, &[], nonce, Some("no"));
    assert!(matches!(&out.notices[..], [.., Notice::Nacked { keys, .. }] if keys.is_empty()), "{out:?}");
    out.notices.clear();
    assert_eq!(answer(&mut bench, out, "no"), []);
    let body = body(&mut bench, "t");
    assert!(body.contains("h4") && body.contains("j3"), "{body}");
}

/// A good version that was replaced before the ACK came is still what a bad one falls back to.
#[test]
fn a_version_that_was_replaced_before_its_ack_is_known_as_good() {
    let mut bench = two_tables();
    let out = bench.publish(3, &[host("t", "j", "j3")], &[]);
    let nonce = out.responses[0].nonce;
    bench.publish(4, &[host("t", "j", "bad")], &[]);
    let out = bench.request(Route, &[], nonce, None);
    assert_eq!(answer(&mut bench, out, "no"), [XdsKey::virtual_host(gateway(), "t", "j")]);
    assert!(body(&mut bench, "t").contains("j3"));
}

/// Several secrets, clusters or listeners without a name in the message.
#[test]
fn single_resources_are_told_apart() {
    let mut bench = two_tables();
    let puts = [put(XdsKind::Listener, "l", "", "bad"), put(XdsKind::Listener, "m", "", "m3")];
    let out = bench.publish(3, &puts, &[]);
    assert_eq!(answer(&mut bench, out, "no"), [XdsKey::new(gateway(), XdsKind::Listener, "l")]);
    assert_eq!(&bench.scope.body(Listener, &"m".into()).unwrap().0[..], b"m3");
    assert_eq!(&bench.scope.body(Listener, &"l".into()).unwrap().0[..], b"l1");
}
