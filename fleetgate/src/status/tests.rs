use proto::report::{ListenerStatus, ParentStatus};
use proto::{
    Blame, Cause, Condition, Delta, Fault, Feedback, Kind, ObjectStatus, Put, Report, ResourceKey, Revision,
    XdsKey, XdsKind,
};
use serde_json::Value;

use super::Statuses;

fn gateway() -> ResourceKey {
    ResourceKey::local(Kind::GATEWAY, "default", "web")
}

fn listener_piece() -> XdsKey {
    XdsKey::new(gateway(), XdsKind::Listener, "http")
}

fn delta(revision: u64, reports: Vec<Report>) -> Delta {
    let key = listener_piece();
    let put = Put { version: proto::ContentHash(1), ..Put::new(key, bytes::Bytes::new()) };
    Delta { revision: Revision(revision), puts: vec![put], reports, ..Delta::default() }
}

fn gateway_report() -> Report {
    let conditions = ["Accepted", "Programmed"].map(|kind| Condition::new(kind, true, kind, "")).into();
    Report { key: gateway(), status: Some(ObjectStatus { conditions, ..ObjectStatus::default() }) }
}

fn statuses() -> Statuses {
    let statuses = Statuses::new("c".into(), true);
    statuses.listed(Box::new(|fields| vec![None; fields.len()]));
    statuses
}

fn connected() -> Feedback {
    Feedback::Connected { proxy: "p".into(), scope: gateway(), walks: true }
}

fn acked(revision: u64) -> Feedback {
    Feedback::Acked { proxy: "p".into(), scope: gateway(), revision: Revision(revision) }
}

fn programmed(statuses: &Statuses) -> (String, String) {
    let shown = statuses.to_json();
    let objects = shown["objects"].as_array().unwrap();
    let gateway = objects.iter().find(|object| object["kind"] == "Gateway").unwrap();
    let condition = &gateway["status"]["conditions"][1];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&condition["status"]), text(&condition["reason"]))
}

#[test]
fn a_gateway_becomes_programmed_and_ready_with_the_ack() {
    let statuses = statuses();
    statuses.published(&delta(5, vec![gateway_report()]));
    assert!(statuses.wanted().borrow().contains(&gateway()));
    assert_eq!(programmed(&statuses), ("False".into(), "Pending".into()));
    assert!(statuses.missing()[0].contains("no Envoy is connected"));
    statuses.feedback(&connected(), &[]);
    statuses.feedback(&acked(4), &[]);
    assert!(statuses.missing()[0].contains("revision 5"), "{:?}", statuses.missing());
    statuses.feedback(&acked(5), &[]);
    assert_eq!(programmed(&statuses), ("True".into(), "Programmed".into()));
    assert_eq!(statuses.missing(), Vec::<String>::new());
}

#[test]
fn a_route_that_attaches_does_not_unprogram_the_gateway() {
    let statuses = statuses();
    statuses.published(&delta(5, vec![gateway_report()]));
    statuses.feedback(&acked(5), &[]);
    statuses.published(&delta(6, vec![gateway_report()]));
    assert_eq!(programmed(&statuses).0, "True");
}

#[test]
fn a_refused_listener_is_invalid_until_it_heals() {
    let statuses = statuses();
    statuses.published(&delta(5, vec![gateway_report()]));
    statuses.feedback(&connected(), &[]);
    let nack = Feedback::Nacked {
        proxy: "p".into(),
        scope: gateway(),
        revision: Revision(5),
        keys: vec![listener_piece()],
        message: "cannot bind".into(),
        cause: Cause::Circumstance,
    };
    let (object, piece, message) = (gateway(), listener_piece(), "cannot bind".into());
    let blame = Blame { object, piece, message, cause: Cause::Circumstance };
    statuses.feedback(&nack, &[blame]);
    assert_eq!(programmed(&statuses), ("False".into(), "Invalid".into()));
    assert_eq!(statuses.to_json()["faults"].as_array().unwrap().len(), 1);
    assert_eq!(statuses.to_json()["proxies"][0]["lastNack"]["message"], "cannot bind");
    assert!(statuses.missing()[0].contains("cannot bind"), "{:?}", statuses.missing());
    statuses.feedback(&Feedback::Healed { scope: gateway(), keys: vec![listener_piece()] }, &[]);
    statuses.feedback(&acked(6), &[]);
    assert_eq!(programmed(&statuses).0, "True");
    assert_eq!(statuses.to_json()["faults"].as_array().unwrap().len(), 0);
}

#[test]
fn a_refused_route_heals_when_its_piece_does() {
    let statuses = statuses();
    let route = ResourceKey::local(Kind::HTTP_ROUTE, "default", "r");
    let parents = vec![ParentStatus {
        parent_ref: proto::JsonText::of(&()),
        gateway: Some(gateway()),
        conditions: vec![Condition::new("Accepted", true, "Accepted", "")],
    }];
    let status = ObjectStatus { parents, ..ObjectStatus::default() };
    statuses.published(&delta(5, vec![Report { key: route.clone(), status: Some(status) }]));
    let accepted =
        || statuses.to_json()["objects"][0]["status"]["parents"][0]["conditions"][0]["status"].clone();
    let piece = XdsKey::virtual_host(gateway(), "t", "*");
    let blame = Blame { object: route, piece: piece.clone(), message: "no".into(), cause: Cause::Content };
    statuses.feedback(&connected(), &[blame]);
    assert_eq!(accepted(), "False");
    statuses.feedback(&Feedback::Healed { scope: gateway(), keys: vec![piece] }, &[]);
    assert_eq!(accepted(), "True");
}

#[test]
fn a_gateway_that_goes_is_not_wanted_any_more() {
    let statuses = statuses();
    statuses.published(&delta(5, vec![gateway_report()]));
    statuses.published(&delta(6, vec![Report { key: gateway(), status: None }]));
    assert!(statuses.wanted().borrow().is_empty());
    assert_eq!(statuses.missing(), Vec::<String>::new());
}

#[test]
fn a_failing_log_is_not_ready() {
    let statuses = statuses();
    statuses.log_failing(Some("the disk is full".into()));
    assert!(statuses.missing()[0].contains("the disk is full"));
    statuses.log_failing(None);
    assert!(statuses.missing().is_empty());
}

#[test]
fn whoever_writes_statuses_gets_all_at_first_and_then_what_changed() {
    let statuses = statuses();
    statuses.published(&delta(5, vec![gateway_report()]));
    assert_eq!(statuses.take_changed(), [], "nobody has asked yet");
    let mut changes = statuses.changes();
    let programmed = |statuses: &Statuses| -> Vec<_> {
        let taken = statuses.take_changed().into_iter();
        taken.map(|(key, status)| (key, status.map(|status| status.conditions[1].holds()))).collect()
    };
    assert_eq!(programmed(&statuses), [(gateway(), Some(false))]);
    assert_eq!(programmed(&statuses), []);
    statuses.feedback(&connected(), &[]);
    changes.mark_unchanged();
    statuses.feedback(&acked(5), &[]);
    assert!(changes.has_changed().unwrap());
    assert_eq!(programmed(&statuses), [(gateway(), Some(true))]);
    statuses.feedback(&acked(6), &[]);
    assert_eq!(programmed(&statuses), [], "no status waited for that");
    statuses.published(&delta(7, vec![Report { key: gateway(), status: None }]));
    assert_eq!(programmed(&statuses), [(gateway(), None)], "gone");
}

#[test]
fn a_server_is_ready_before_its_proxies_are() {
    let statuses = Statuses::new("c".into(), true);
    assert_eq!(statuses.missing_to_serve(), ["the source has not been read yet"]);
    statuses.listed(Box::new(|fields| vec![None; fields.len()]));
    statuses.published(&delta(5, vec![gateway_report()]));
    assert!(statuses.missing_to_serve().is_empty() && !statuses.missing().is_empty());
}

#[test]
fn a_listener_set_is_programmed_with_its_gateway() {
    let set = ResourceKey::local(Kind::LISTENER_SET, "apps", "extra");
    let conditions: Vec<Condition> =
        ["Accepted", "Programmed"].map(|kind| Condition::new(kind, true, kind, "")).into();
    let listener = ListenerStatus {
        name: "extra".into(),
        resource: "listener/80".into(),
        attached_routes: 0,
        supported_kinds: Vec::new(),
        conditions: conditions.clone(),
    };
    let status = ObjectStatus {
        conditions,
        listeners: vec![listener],
        gateway: Some(gateway()),
        ..ObjectStatus::default()
    };
    let report = Report { key: set.clone(), status: Some(status) };
    let statuses = statuses();
    let shown = || {
        let all = statuses.to_json();
        let found = all["objects"].as_array().unwrap().iter().find(|one| one["kind"] == "ListenerSet");
        let status = found.unwrap()["status"].clone();
        let programmed = |of: &Value| of["conditions"][1]["status"].as_str().unwrap().to_owned();
        assert_eq!(programmed(&status), programmed(&status["listeners"][0]));
        programmed(&status)
    };
    let _changes = statuses.changes();
    statuses.published(&delta(5, vec![gateway_report(), report]));
    assert_eq!(shown(), "False");
    statuses.feedback(&connected(), &[]);
    statuses.take_changed();
    statuses.feedback(&acked(5), &[]);
    assert_eq!(shown(), "True");
    assert!(statuses.take_changed().iter().any(|(key, _)| *key == set), "its status is written anew");

    let mut unusable = gateway_report();
    let conditions = &mut unusable.status.as_mut().unwrap().conditions;
    conditions[1] = Condition::new("Programmed", false, "AddressNotUsable", "no");
    statuses.published(&delta(6, vec![unusable]));
    statuses.feedback(&acked(6), &[]);
    assert_eq!(shown(), "False", "not without its Gateway");
}

/// Two replicas translate alike; a proxy is connected to one of them.
#[test]
fn what_a_proxy_refuses_is_the_same_wherever_it_is_connected() {
    let route = ResourceKey::local(Kind::HTTP_ROUTE, "default", "r");
    let parent = ParentStatus {
        parent_ref: proto::JsonText::of(&()),
        gateway: Some(gateway()),
        conditions: vec![Condition::new("Accepted", true, "Accepted", "")],
    };
    let status = ObjectStatus { parents: vec![parent], ..ObjectStatus::default() };
    let reports = || vec![gateway_report(), Report { key: route.clone(), status: Some(status.clone()) }];
    let (here, there) = (statuses(), statuses());
    for statuses in [&here, &there] {
        statuses.published(&delta(5, reports()));
    }
    let host = XdsKey::virtual_host(gateway(), "http", "*");
    here.feedback(&connected(), &[]);
    let refused = |piece: &XdsKey, object: &ResourceKey| {
        let (piece, message) = (piece.clone(), "no".to_owned());
        let nacked = Feedback::Nacked {
            proxy: "p".into(),
            scope: gateway(),
            revision: Revision(5),
            keys: vec![piece.clone()],
            message: message.clone(),
            cause: Cause::Content,
        };
        let (object, cause) = (object.clone(), Cause::Content);
        here.feedback(&nacked, &[Blame { object, piece, message, cause }]);
    };
    let tell = || {
        let mut elsewhere = super::Elsewhere::default();
        elsewhere.add(here.programmed(), &here.refused());
        there.elsewhere(elsewhere);
    };
    let conditions = |statuses: &Statuses| {
        let shown = statuses.to_json();
        let mut objects = shown["objects"].as_array().unwrap().clone();
        for object in &mut objects {
            let text = object["status"].to_string();
            object["status"] =
                text.split("lastTransitionTime").map(|part| &part[part.len().min(24)..]).collect();
        }
        (objects, shown["faults"].clone())
    };
    let mut changes = here.programmed_changes();
    changes.mark_unchanged();
    refused(&host, &route);
    assert!(changes.has_changed().unwrap(), "others are told");
    refused(&listener_piece(), &gateway());
    here.feedback(&acked(5), &[]);
    tell();
    assert_eq!(conditions(&here), conditions(&there));
    assert_eq!(programmed(&there), ("False".into(), "Invalid".into()));
    let healed = Feedback::Healed { scope: gateway(), keys: vec![host.clone(), listener_piece()] };
    here.feedback(&healed, &[]);
    tell();
    assert_eq!(conditions(&here), conditions(&there));
    assert_eq!(programmed(&there), ("True".into(), "Programmed".into()));
    // One whose proxies have gone elsewhere says nothing of them.
    refused(&host, &route);
    here.feedback(&Feedback::Disconnected { proxy: "p".into(), scope: gateway() }, &[]);
    assert_eq!(here.refused(), []);
}

fn faulty(name: &str, faults: usize) -> Report {
    let key = ResourceKey::local(Kind::HTTP_ROUTE, "default", name);
    let fault = |number| Fault {
        object: key.clone(),
        field: format!("spec.rules[{number}]"),
        problem: "x".repeat(10_000),
        remedy: "mend it".to_owned(),
    };
    let faults = (0..faults).map(fault).collect();
    Report { key: key.clone(), status: Some(ObjectStatus { faults, ..ObjectStatus::default() }) }
}

/// Whoever waits for the lock waits for all edits; a disk may take any time.
#[test]
fn nobody_waits_while_faults_are_looked_for() {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let statuses = std::sync::Arc::new(Statuses::new("c".into(), true));
    statuses.listed(Box::new(move |fields| {
        // Until the other end is dropped.
        let _ = held.lock().unwrap().recv();
        vec![Some(("f.yaml".into(), 7)); fields.len()]
    }));
    statuses.published(&delta(5, vec![faulty("bad", 6000)]));
    let asking = std::thread::spawn({
        let statuses = statuses.clone();
        move || statuses.to_json()
    });
    for revision in 6..100 {
        statuses.published(&delta(revision, vec![gateway_report()]));
    }
    drop(hold);
    let shown = asking.join().unwrap();
    assert!(shown["faults"].as_array().unwrap().iter().all(|fault| fault["line"] == 7));
}

#[test]
fn of_an_object_only_so_many_faults_are_told() {
    let statuses = statuses();
    let reports = |faults: [usize; 2]| vec![faulty("a", faults[0]), faulty("b", faults[1])];
    statuses.published(&delta(5, reports([6000, 20])));
    let faults = statuses.to_json()["faults"].as_array().unwrap().clone();
    assert_eq!(faults.len(), 41);
    assert_eq!(faults[20]["problem"], "and 5980 more faults");
    assert!(faults.iter().all(|fault| fault["problem"].as_str().unwrap().chars().count() <= 2049));
    statuses.published(&delta(6, reports([0, 1])));
    assert_eq!(statuses.to_json()["faults"].as_array().unwrap().len(), 1);
}
