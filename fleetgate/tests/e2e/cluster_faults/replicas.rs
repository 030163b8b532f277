//! The replica that leads is killed, or cut off from the API server.

use super::scene::Scene;
use crate::harness::Fault;

pub(super) async fn all(scene: &mut Scene) {
    the_leader_is_killed(scene).await;
    the_leader_is_cut_off(scene).await;
}

async fn the_leader_is_killed(scene: &mut Scene) {
    let load = scene.load().await;
    let holder = scene.leads(None).await;
    let leader = scene.replica(&holder);
    scene.kill(leader);
    let host = scene.edit();
    // The other one serves all, and before it leads.
    scene.answers(&host, 200).await;
    scene.leads(Some(&holder)).await;
    scene.follows("a killed leader").await;
    scene.start_replica(leader);
    load.stop_without_failure("a killed leader").await;
}

async fn the_leader_is_cut_off(scene: &mut Scene) {
    let load = scene.load().await;
    scene.is_listening().await;
    let holder = scene.leads(None).await;
    let leader = scene.replica(&holder);
    scene.apis[leader].set(Fault::Silent);
    let other = scene.leads(Some(&holder)).await;
    assert_ne!(scene.replica(&other), leader);
    scene.apis[leader].writes();
    scene.edit();
    scene.is_told("httproute", "probe").await;
    // The way is there again: it knows already that it leads no more.
    scene.apis[leader].set(Fault::None);
    scene.edit();
    scene.is_told("httproute", "probe").await;
    let lease = "/apis/coordination.k8s.io/v1/namespaces/fleetgate-system/leases/fleetgate-replica-";
    let writes = scene.apis[leader].writes();
    assert!(writes.iter().all(|write| write.contains(lease)), "{writes:?}");
    // What it had open is lost, which it finds out after 90 s: too long to wait for here.
    scene.kill(leader);
    scene.start_replica(leader);
    scene.follows("a leader that was cut off").await;
    load.stop_without_failure("a leader that was cut off").await;
}
