use serde_json::{Value, json};

use super::{choose, hint, silent, table};
use crate::args::What;
use crate::hints::Hinted;

fn status() -> Value {
    let accepted = json!([{"type": "Accepted", "status": "True", "reason": "Accepted"},
        {"type": "Programmed", "status": "False", "reason": "Pending", "message": "waiting"}]);
    json!({"objects": [
        {"kind": "Gateway", "metadata": {"namespace": "a", "name": "web"}, "status": {
            "conditions": accepted, "addresses": [{"value": "127.0.0.1"}],
            "listeners": [{"attachedRoutes": 2}]}},
        {"kind": "GatewayClass", "metadata": {"name": "x"}, "status": {}},
        {"kind": "HTTPRoute", "metadata": {"namespace": "a", "name": "lost"}, "status": {}},
        {"kind": "HTTPRoute", "metadata": {"namespace": "a", "name": "r"}, "status": {"parents": [
            {"parentRef": {"name": "web"}, "conditions": [
                {"type": "Accepted", "status": "False", "reason": "NoMatchingParent", "message": "no"}]}]}},
        {"kind": "TCPRoute", "metadata": {"namespace": "a", "name": "half"}, "status": {"parents": [
            {"parentRef": {"name": "web"}, "conditions": [
                {"type": "Accepted", "status": "True", "reason": "Accepted"},
                {"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs"}]}]}},
    ]})
}

fn hints() -> Vec<Hinted> {
    let nowhere = |kind: &str, name: &str| {
        let hint = json!({
            "reason": "NoMatchingParent", "field": "spec.parentRefs[0]", "problem": "Gateway a/gone does not exist",
            "remedy": "create it", "parentRef": {"name": "gone"},
        });
        json!({"apiVersion": "v1", "kind": kind, "namespace": "a", "name": name, "hints": [hint]})
    };
    let class = json!({
        "apiVersion": "v1", "kind": "Gateway", "namespace": "b", "name": "nobodys", "hints": [{
            "reason": "NoSuchClass", "field": "spec.gatewayClassName", "problem": "GatewayClass x does not exist",
            "remedy": "create it",
        }],
    });
    serde_json::from_value(json!([nowhere("HTTPRoute", "lost"), nowhere("TCPRoute", "half"), class])).unwrap()
}

fn shown(what: What, wide: bool) -> String {
    let mut chosen = choose(&status(), what);
    hint(&mut chosen, hints(), what);
    let table = table(what, &chosen, wide, false);
    // Columns are padded: one space is enough to compare.
    table
        .lines()
        .map(|line| {
            line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join("|")
                + "\n"
        })
        .collect()
}

#[test]
fn gateways_of_nobody_are_shown_too() {
    assert_eq!(
        shown(What::Gateways, true),
        "NAMESPACE|NAME|ADDRESS|ROUTES|ACCEPTED|PROGRAMMED|PROBLEM\n\
         a|web|127.0.0.1|2|True|False (Pending)|waiting\n\
         b|nobodys|-|0|-|-|spec.gatewayClassName: GatewayClass x does not exist; create it\n"
    );
}

#[test]
fn routes_say_what_they_are_and_which_parent_is_not_there() {
    let gone = "spec.parentRefs[0]: Gateway a/gone does not exist; create it";
    assert_eq!(
        shown(What::Routes, true),
        format!(
            "NAMESPACE|NAME|KIND|PARENTS|ACCEPTED|RESOLVED|PROBLEM\n\
             a|lost|HTTPRoute|gone|False (NoMatchingParent)|-|{gone}\n\
             a|r|HTTPRoute|web|False (NoMatchingParent)|-|no\n\
             a|half|TCPRoute|web,gone|False (NoMatchingParent)|True|{gone}\n"
        )
    );
}

#[test]
fn each_proxy_says_on_which_replica_it_hangs_and_a_silent_replica_is_named() {
    let proxy = json!({"gateway": "a/web", "id": "e", "replica": "one", "connected": true,
        "ackedRevision": 3, "currentRevision": 3});
    assert_eq!(
        table(What::Proxies, &[proxy], false, true),
        "GATEWAY   ID   REPLICA   CONNECTED   ACKED   CURRENT\n\
         a/web     e    one       true        3       3\n"
    );
    let one = json!({"name": "one", "answers": true, "leads": true});
    let two = json!({"name": "two", "answers": false, "problem": "no answer in 3 s"});
    assert_eq!(silent(&json!([one])), "");
    assert_eq!(silent(&Value::Null), "");
    let told = silent(&json!([one, two]));
    assert_eq!(told, "replica two does not answer (no answer in 3 s): what hangs on it is missing here\n");
    assert!(silent(&json!([two])).contains("no replica that leads answers"));
}
