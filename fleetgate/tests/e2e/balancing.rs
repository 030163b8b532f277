//! Weights, and endpoints of one Service.

use std::collections::BTreeMap;

use crate::harness::{Ask, Scene, service};

/// How many of `count` requests each backend answered; `""` if none did.
async fn shares(scene: &Scene<'_>, path: &str, count: u32) -> BTreeMap<String, u32> {
    let mut connection = scene.connect().await;
    let mut shares = BTreeMap::new();
    for _ in 0..count {
        let answer = connection.ask(&Ask::get(&scene.host, path)).await.unwrap();
        let (status, pod) = answer.brief();
        let who = if pod.is_empty() { status.to_string() } else { pod };
        *shares.entry(who).or_default() += 1;
    }
    shares
}

fn percent(shares: &BTreeMap<String, u32>, who: &str) -> f64 {
    let total: u32 = shares.values().sum();
    f64::from(shares.get(who).copied().unwrap_or_default()) * 100.0 / f64::from(total)
}

#[tokio::test]
async fn weights_share_requests_and_zero_gets_none() {
    let Some(mut scene) = Scene::open("weights").await else { return };
    let backends =
        [scene.backend("seventy").await, scene.backend("thirty").await, scene.backend("zero").await];
    scene
        .apply_rules(
            "- backendRefs:
    - {name: seventy, port: 80, weight: 70}
    - {name: thirty, port: 80, weight: 30}
    - {name: zero, port: 80, weight: 0}
",
        )
        .await;
    let shares = shares(&scene, "/", 400).await;
    assert!((percent(&shares, "seventy") - 70.0).abs() <= 8.0, "{shares:?}");
    assert!((percent(&shares, "thirty") - 30.0).abs() <= 8.0, "{shares:?}");
    assert!(backends[2].seen().is_empty());
    assert_eq!(shares.values().sum::<u32>(), 400);
    assert_eq!(shares.len(), 2, "{shares:?}");
}

#[tokio::test]
async fn the_share_of_an_invalid_backend_is_answered_500() {
    let Some(mut scene) = Scene::open("invalid-share").await else { return };
    let _backend = scene.backend("good").await;
    scene
        .apply_rules(
            "- backendRefs:
    - {name: good, port: 80, weight: 1}
    - {name: nowhere, port: 80, weight: 1}
",
        )
        .await;
    let shares = shares(&scene, "/", 200).await;
    assert!((percent(&shares, "good") - 50.0).abs() <= 15.0, "{shares:?}");
    assert!((percent(&shares, "500") - 50.0).abs() <= 15.0, "{shares:?}");
    scene.expect_condition("HTTPRoute", "route", "/parents/0", "Accepted=True Accepted").await;
    scene.expect_condition("HTTPRoute", "route", "/parents/0", "ResolvedRefs=False BackendNotFound").await;
}

#[tokio::test]
async fn all_endpoints_of_a_service_are_used_and_changes_followed() {
    let Some(mut scene) = Scene::open("endpoints").await else { return };
    let [a, b] = [scene.backend("a").await, scene.backend("b").await];
    let rules = "- backendRefs: [{name: both, port: 80}]\n";
    let with = |ports: &[u16]| service(&scene.name, "both", "", ports) + &scene.route("route", rules);
    scene.apply(&with(&[a.addr.port(), b.addr.port()])).await;
    let both = shares(&scene, "/", 100).await;
    assert!(percent(&both, "a") > 10.0 && percent(&both, "b") > 10.0, "{both:?}");

    scene.apply(&with(&[b.addr.port()])).await;
    let one = shares(&scene, "/", 30).await;
    assert_eq!(percent(&one, "b"), 100.0, "{one:?}");
}

/// KEP-1669: those that are about to end get requests only where no other is ready, and as long as they serve.
#[tokio::test]
async fn endpoints_that_terminate_serve_where_there_are_no_others() {
    let Some(mut scene) = Scene::open("terminating").await else { return };
    let [a, b] = [scene.backend("a").await, scene.backend("b").await];
    let slices = service(&scene.name, "both", "", &[a.addr.port(), b.addr.port()]);
    let ending = slices.replace("{ready: true}", "{ready: false, serving: true, terminating: true}");
    let route = scene.route("route", "- backendRefs: [{name: both, port: 80}]\n");
    scene.apply(&(ending.clone() + &route)).await;
    let all = shares(&scene, "/", 60).await;
    assert!(percent(&all, "a") > 5.0 && percent(&all, "b") > 5.0, "{all:?}");

    let last_is_ready = match ending.rsplit_once("{ready: false, serving: true, terminating: true}") {
        Some((before, after)) => format!("{before}{{ready: true}}{after}"),
        None => unreachable!("there are two"),
    };
    scene.apply(&(last_is_ready + &route)).await;
    let one = shares(&scene, "/", 30).await;
    assert_eq!(percent(&one, "b"), 100.0, "{one:?}");

    scene.apply(&(ending.replace("serving: true", "serving: false") + &route)).await;
    scene.expect_status("/", 503).await;
}
