//! Processes that die: Envoy, and fleetgate.

use crate::harness::{Ask, Instance, Scene, Traffic, kill, until};

const RULES: &str = "- backendRefs: [{name: v1, port: 80}]\n";

#[tokio::test]
async fn an_envoy_that_is_killed_is_started_again() {
    let Some(instance) = Instance::start().await else { return };
    let mut scene = Scene::on(&instance, "killed");
    let _backend = scene.backend("v1").await;
    scene.apply_rules(RULES).await;
    let before = instance.envoy_pid("infra_shared");
    kill("KILL", before);
    until("another Envoy", async || match instance.envoy_pid("infra_shared") {
        pid if pid == before => Err(format!("still {pid}")),
        _ => Ok(()),
    })
    .await;
    assert_eq!(scene.expect_status("/", 200).await.echo().pod, "v1");
    assert_eq!(instance.metric("fleetgate_envoy_restarts_total").await, 1.0);
    scene
        .apply_rules(&RULES.replace("- backendRefs", "- matches: [{path: {value: /n}}]\n  backendRefs"))
        .await;
    assert_eq!((scene.get("/n").await.status, scene.get("/").await.status), (200, 404));
}

/// fleetgate dies without a word and comes back: the Envoy serves all the time, is the same, and is sent
/// nothing that it has.
#[tokio::test]
async fn a_fleetgate_that_is_killed_takes_up_where_it_was() {
    let Some(mut instance) = Instance::start().await else { return };
    let (port, host) = (instance.http, "again.example.com");
    let mut scene = Scene::on(&instance, "again");
    let _backends = [scene.backend("v1").await, scene.backend("v2").await];
    scene.apply_rules(RULES).await;
    let text = std::fs::read_to_string(instance.config().join("again.yaml")).unwrap();
    drop(scene);
    // Gone with the scene; the instance keeps it from here on.
    instance.write("again.yaml", &text);
    until("it is back", async || {
        let answer = crate::harness::ask(port, &Ask::get(host, "/")).await?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    instance.ready().await;
    let envoy = instance.envoy_pid("infra_shared");
    let revision = instance.status().await["revision"].clone();

    let traffic = Traffic::start(port, &Ask::get(host, "/")).await;
    instance.signal("KILL");
    traffic.more(50).await;
    instance.restart().await;
    assert_eq!(instance.envoy_pid("infra_shared"), envoy, "adopted");
    assert_eq!(instance.metric("fleetgate_xds_resources_total").await, 0.0, "resent");
    assert_eq!(instance.metric("fleetgate_xds_streams").await, 1.0);
    let events = instance.page(&format!("/log?since={revision}")).await;
    assert!(!events.contains("upsert") && !events.contains("delete"), "nothing had changed: {events}");
    traffic.more(20).await;
    traffic.stop_with_only(&[(200, "v1")]).await;

    // A change made while it was down arrives, and only what changed is sent.
    instance.signal("KILL");
    instance.write("again.yaml", &text.replace("backendRefs: [{name: v1,", "backendRefs: [{name: v2,"));
    instance.restart().await;
    until("the change", async || {
        let answer = crate::harness::ask(port, &Ask::get(host, "/")).await?;
        if answer.brief() == (200, "v2".to_owned()) { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    let page = instance.page("/metrics").await;
    let sent = instance.metric("fleetgate_xds_resources_total").await;
    assert!((1.0..=3.0).contains(&sent), "route table, cluster and endpoints at most: {sent}\n{page}");
    assert_eq!(instance.envoy_pid("infra_shared"), envoy);
}

#[tokio::test]
async fn sigterm_ends_fleetgate_and_its_envoys() {
    let Some(mut instance) = Instance::start().await else { return };
    let envoy = instance.envoy_pid("infra_shared");
    let status = instance.signal("TERM");
    assert!(status.success(), "{status}; log:\n{}", instance.log());
    let process = format!("/proc/{envoy}/exe");
    until("Envoy is gone", async || match std::fs::read_link(&process) {
        Err(_) => Ok(()),
        Ok(program) => Err(format!("process {envoy} is {}", program.display())),
    })
    .await;
    assert!(crate::harness::Connection::plain(instance.http).await.is_err());
    // And it starts again from what it left.
    instance.restart().await;
}

/// On a first start, from an empty state directory.
#[tokio::test]
async fn ready_means_that_the_gateway_serves() {
    let Some(mut instance) = Instance::spawn() else { return };
    instance.ready().await;
    let answer = crate::harness::ask(instance.http, &Ask::get("nobody", "/")).await;
    assert_eq!(answer.map(|answer| answer.status), Ok(404));
}

/// fleetgate is told to stop while a client waits for its answer, and another one keeps a connection without a request.
// The backend answers while this thread waits for the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_ends_before_its_envoy_does() {
    let Some(mut instance) = Instance::start().await else { return };
    let port = instance.http;
    let mut scene = Scene::on(&instance, "ending");
    let backend = scene.backend("v1").await;
    scene.apply_rules(RULES).await;
    let host = scene.host.clone();
    // Its files stay.
    std::mem::forget(scene);
    let mut idle = crate::harness::Connection::plain(port).await.unwrap();
    assert_eq!(idle.ask(&Ask::get(&host, "/")).await.unwrap().status, 200);
    let slow =
        tokio::spawn(async move { crate::harness::ask(port, &Ask::get(&host, "/slow?delay=3s")).await });
    until("the backend has the request", async || {
        let has = backend.seen().iter().any(|echo| echo.path.starts_with("/slow"));
        if has { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    assert!(instance.signal("TERM").success());
    assert_eq!(slow.await.unwrap().unwrap().brief(), (200, "v1".to_owned()));
    assert!(idle.ask(&Ask::get("ending.example.com", "/")).await.is_err());
}
