//! What goes wrong in a cluster: bad objects, an API server in trouble, objects and definitions that go, proxies and
//! replicas that are killed. Two replicas serve a Gateway with two Envoys meanwhile, and clients ask without a pause.
//!
//! The test starts a test bed and then itself once more inside the bed's namespaces. What goes wrong between a replica
//! and the API server goes wrong in a proxy between them; the API server itself is the real one.

mod api_server;
mod bad_input;
mod certificates;
mod load;
mod objects;
mod proxies;
mod replicas;
mod scene;

use crate::harness::Bed;
use scene::Scene;

/// Set for the part that runs inside: the bed's folder.
const INSIDE: &str = "FLEETGATE_TEST_FAULTS_INSIDE_BED";

#[test]
fn faults_of_a_cluster_cost_no_request() {
    let Some(bed) = Bed::up() else { return };
    bed.run_test("cluster_faults::inside_a_bed", INSIDE);
}

/// Runs in the namespaces of a bed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of another test"]
async fn inside_a_bed() {
    let Some(dir) = needs::started_by_another_test(INSIDE) else { return };
    let mut scene = Scene::start(dir).await;
    bad_input::all(&mut scene).await;
    certificates::all(&mut scene).await;
    api_server::all(&mut scene).await;
    objects::all(&mut scene).await;
    proxies::all(&mut scene).await;
    scene.watches_are_open_once().await;
    replicas::all(&mut scene).await;
    scene.end().await;
}
