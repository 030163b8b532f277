use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::{CONTROLLER, Installation, claim, controller_name};

fn ours() -> Installation {
    Installation { namespace: "b".to_owned(), name: "fleetgate".to_owned(), controller: CONTROLLER.into() }
}

fn lease(namespace: &str, name: &str, version: &str, owned: bool) -> Value {
    let owners = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": "1"}]);
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": "fleetgate", "namespace": namespace, "uid": namespace, "resourceVersion": version,
            "creationTimestamp": "2026-01-02T00:00:00Z",
            "annotations": {"fleetgate.dev/installation": name, "fleetgate.dev/controller-name": CONTROLLER},
            "ownerReferences": if owned { owners } else { json!([]) },
        },
        "spec": {"holderIdentity": "pod-1_x"},
    })
}

/// An API server with these Leases in all namespaces, look by look (the last answer stays), and what is asked of it.
fn server(looks: Vec<Vec<Value>>) -> (Client, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (told, looks) = (Arc::clone(&asked), Arc::new(Mutex::new(VecDeque::from(looks))));
    let service = tower::service_fn(move |request: Request<Body>| {
        let path = request.uri().path().to_owned();
        told.lock().unwrap().push(format!("{} {path}", request.method()));
        let (code, answer) = if path == "/apis/coordination.k8s.io/v1/leases" {
            let mut looks = looks.lock().unwrap();
            let items = if looks.len() > 1 { looks.pop_front() } else { looks.front().cloned() };
            (
                200,
                json!({"kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1", "metadata": {}, "items": items}),
            )
        } else if *request.method() == Method::POST {
            (201, lease("b", "fleetgate", "7", false))
        } else if *request.method() == Method::DELETE {
            (200, json!({"kind": "Status", "status": "Success"}))
        } else {
            (404, json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"}))
        };
        let body = Body::from(answer.to_string().into_bytes());
        std::future::ready(Response::builder().status(code).body(body))
    });
    (Client::new(service, "default"), asked)
}

fn writes(asked: &Mutex<Vec<String>>) -> Vec<String> {
    asked.lock().unwrap().iter().filter(|one| !one.starts_with("GET")).cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn a_second_installation_is_told_who_leads_and_writes_nothing() {
    let (client, asked) = server(vec![vec![lease("a", "first", "1", true)]]);
    let refused = claim(&client, &ours()).await.unwrap_err().to_string();
    for part in [
        "first in namespace a",
        "pod-1_x leads",
        "Lease a/fleetgate",
        "controllerName",
        "fleetgate in namespace b",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert_eq!(writes(&asked), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn another_name_in_the_same_namespace_is_another_installation() {
    let (client, asked) = server(vec![vec![lease("b", "first", "1", true)]]);
    assert!(claim(&client, &ours()).await.unwrap_err().to_string().contains("first in namespace b"));
    assert_eq!(writes(&asked), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_going_is_waited_for() {
    let (client, asked) = server(vec![vec![lease("a", "first", "1", true)], vec![]]);
    let claimed = claim(&client, &ours()).await.unwrap();
    assert_eq!(claimed.lease, "fleetgate");
    assert_eq!(writes(&asked), ["POST /apis/coordination.k8s.io/v1/namespaces/b/leases"]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_no_deployment_counts_while_it_is_renewed() {
    let (client, _) = server(vec![vec![lease("a", "first", "1", false)]]);
    claim(&client, &ours()).await.unwrap();
    let renewed = ["1", "2"].map(|version| vec![lease("a", "first", version, false)]);
    let (client, asked) = server(renewed.into());
    assert!(claim(&client, &ours()).await.is_err());
    assert_eq!(writes(&asked), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_begin_together_the_first_stays() {
    // Made at the same second; a comes before b.
    let (client, asked) =
        server(vec![vec![], vec![lease("a", "first", "1", true), lease("b", "fleetgate", "7", true)]]);
    assert!(claim(&client, &ours()).await.is_err());
    let own = "/apis/coordination.k8s.io/v1/namespaces/b/leases";
    assert_eq!(writes(&asked), [format!("POST {own}"), format!("DELETE {own}/fleetgate")]);
    let (client, _) = server(vec![vec![], vec![lease("c", "second", "1", true)]]);
    claim(&client, &ours()).await.unwrap();
}

#[test]
fn other_controllers_have_other_leases_managers_and_labels() {
    let other = Installation { controller: "example.com/gateways".into(), ..ours() };
    assert_eq!(
        (ours().lease(), other.lease()),
        ("fleetgate".to_owned(), "fleetgate.example.com.gateways".to_owned())
    );
    assert_eq!((ours().label(), other.label().as_deref()), (None, Some("example.com_gateways")));
    assert_eq!(other.field_manager(), "example.com/gateways");
    let long = Installation { controller: format!("example.com/{}", "a".repeat(180)).into(), ..ours() };
    assert_eq!((long.label().unwrap().len(), long.field_manager().len()), (63, 128));
    let theirs: Lease = serde_json::from_value(lease("a", "first", "1", true)).unwrap();
    assert!(ours().is_anothers(&theirs) && !other.is_anothers(&theirs));
}

#[test]
fn a_controller_name_is_a_domain_and_a_path() {
    for good in [CONTROLLER, "example.com/a/b-c.d"] {
        assert_eq!(controller_name(good).unwrap(), good);
    }
    for bad in ["", "example.com", "example.com/", "/a", "Example.com/a", "a..b/c", "a/-b", "a/b_c"] {
        assert!(controller_name(bad).is_err(), "{bad}");
    }
}
