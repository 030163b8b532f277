use proto::{Change, ClusterId, Epoch, Event, Kind, ResourceKey};
use serde_json::{Value, json};

use super::Classes;

const US: &str = "fleetgate.dev/gateway";

fn event(kind: Kind, name: &str, payload: Option<Value>) -> Event {
    let namespace = if kind == Kind::GATEWAY { "default" } else { "" };
    let change = payload.map_or(Change::Delete, |payload| Change::Upsert(payload.to_string().into()));
    let blank = Event::synced(ClusterId::LOCAL, kind.clone(), Epoch(1), Epoch(0), 1);
    Event { key: ResourceKey::local(kind, namespace, name), change, ..blank }
}

fn class(name: &str, controller: &str) -> Event {
    let payload = json!({"metadata": {"name": name}, "spec": {"controllerName": controller}});
    event(Kind::GATEWAY_CLASS, name, Some(payload))
}

fn gateway(name: &str, class: &str) -> Event {
    event(Kind::GATEWAY, name, Some(json!({"spec": {"gatewayClassName": class}})))
}

fn gone(kind: Kind, name: &str) -> Event {
    event(kind, name, None)
}

/// What came out: `+` there, `!` kept, `-` gone.
fn brief(events: &[Event]) -> Vec<String> {
    let brief = |event: &Event| {
        let sign = match &event.change {
            Change::Delete => '-',
            _ if super::is_marked(event) => '!',
            _ => '+',
        };
        format!("{sign}{}", event.key.name)
    };
    events.iter().map(brief).collect()
}

fn with(log: &[Event]) -> Classes {
    Classes::new(US.into(), log.iter())
}

#[test]
fn a_class_that_vanishes_is_kept_while_a_gateway_uses_it() {
    let mut classes = with(&[class("c", US), gateway("a", "c"), gateway("b", "c")]);
    let kept = classes.pass(vec![gone(Kind::GATEWAY_CLASS, "c")]);
    assert_eq!(brief(&kept), ["!c"]);
    assert_ne!(
        kept[0].resource_version,
        class("c", US).resource_version,
        "else it is taken for a repetition"
    );
    assert_eq!(brief(&classes.pass(vec![gone(Kind::GATEWAY, "a")])), ["-a"]);
    assert_eq!(brief(&classes.pass(vec![gone(Kind::GATEWAY, "b")])), ["-b", "-c"], "nobody uses it now");
    assert_eq!(brief(&classes.pass(vec![gateway("d", "c")])), ["+d"]);
}

#[test]
fn a_restart_keeps_what_was_kept() {
    let mut classes = with(&[class("c", US), gateway("a", "c")]);
    let kept = classes.pass(vec![gone(Kind::GATEWAY_CLASS, "c")]);
    let mut again = with(&[gateway("a", "c"), kept[0].clone()]);
    assert_eq!(again.pass(vec![gone(Kind::GATEWAY_CLASS, "c")]), [], "the listing has it not");
    assert_eq!(brief(&again.pass(vec![class("c", US)])), ["+c"]);
    assert_eq!(
        brief(&again.pass(vec![gone(Kind::GATEWAY, "a")])),
        ["-a"],
        "it is there: not for us to delete"
    );
}

#[test]
fn all_that_goes_at_once_goes() {
    let mut classes = with(&[class("c", US), gateway("a", "c")]);
    let synced = Event::synced(ClusterId::LOCAL, Kind::GATEWAY, Epoch(1), Epoch(0), 1);
    let all = vec![gone(Kind::GATEWAY, "a"), gone(Kind::GATEWAY_CLASS, "c"), synced.clone()];
    let passed = classes.pass(all);
    assert_eq!(brief(&passed[..2]), ["-a", "-c"]);
    assert_eq!(passed[2], synced);
}

#[test]
fn another_controller_takes_it_over() {
    let mut classes = with(&[class("c", US), gateway("a", "c")]);
    assert_eq!(brief(&classes.pass(vec![class("c", "other.example/controller")])), ["+c"]);
    assert_eq!(brief(&classes.pass(vec![gone(Kind::GATEWAY_CLASS, "c")])), ["-c"], "not ours to keep");
    // In two steps: it is kept in between.
    let mut classes = with(&[class("c", US), gateway("a", "c")]);
    assert_eq!(brief(&classes.pass(vec![gone(Kind::GATEWAY_CLASS, "c")])), ["!c"]);
    assert_eq!(brief(&classes.pass(vec![class("c", "other.example/controller")])), ["+c"]);
}

#[test]
fn a_gateway_that_names_a_class_before_it_is_there_goes_on() {
    let mut classes = with(&[class("old", US), gateway("a", "old")]);
    assert_eq!(brief(&classes.pass(vec![gateway("a", "new")])), ["!new", "+a"]);
    assert_eq!(brief(&classes.pass(vec![class("new", US)])), ["+new"]);
    assert_eq!(brief(&classes.pass(vec![gone(Kind::GATEWAY_CLASS, "old")])), ["-old"]);
    // A slip of the pen, and its correction.
    assert_eq!(brief(&classes.pass(vec![gateway("a", "mew")])), ["!mew", "+a"]);
    assert_eq!(brief(&classes.pass(vec![gateway("a", "new")])), ["+a", "-mew"]);
    // Both at once.
    let both = vec![gateway("a", "newer"), gone(Kind::GATEWAY_CLASS, "new")];
    assert_eq!(brief(&classes.pass(both)), ["!newer", "+a", "-new"]);
}

#[test]
fn gateways_that_were_never_ours_are_left_alone() {
    let mut classes = with(&[class("theirs", "other.example/controller"), gateway("a", "theirs")]);
    assert_eq!(brief(&classes.pass(vec![gateway("a", "nothing")])), ["+a"]);
    assert_eq!(brief(&classes.pass(vec![gateway("b", "nothing")])), ["+b"]);
    assert_eq!(brief(&classes.pass(vec![gone(Kind::GATEWAY_CLASS, "theirs")])), ["-theirs"]);
}

#[test]
fn classes_in_use_are_told_once_all_is_read() {
    let mut classes = with(&[class("c", US), gateway("a", "c")]);
    let in_use = classes.in_use();
    assert_eq!(*in_use.borrow(), None);
    classes.tell();
    assert_eq!(*in_use.borrow(), Some(["c".into()].into()));
    classes.pass(vec![gone(Kind::GATEWAY, "a")]);
    classes.tell();
    assert_eq!(*in_use.borrow(), Some([].into()));
}
