//! A Service with its endpoint and a route to it, made at the same moment.

use super::live::{Wrong, until_live};
use super::web::Web;
use super::{Api, BACKENDS, Scene, at_most};
use crate::check::Check;
use crate::stats::percentile;

/// Hosts and names that no other scenario has.
const FIRST: usize = 1_000_000;

pub(super) async fn measure(scene: &Scene, count: usize, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let mut web = Web::new(scene.address);
    let (mut times, mut wrong) = (Vec::with_capacity(count), Wrong::default());
    for number in FIRST..FIRST + count {
        let (api, node, port) = (scene.api.clone(), scene.node, BACKENDS[number % 2].1);
        let service = format!("s{number}");
        let making = async move {
            let all = futures_util::future::try_join3(
                api.create_service(&service),
                api.create_slice(&service, node, port),
                api.create_route_to(number, &service),
            );
            all.await.map(drop)
        };
        times.push(until_live(&mut web, &Api::host(number), making, &mut wrong).await?);
    }
    let p50 = percentile(&times, 50.0).unwrap_or_default();
    checks.push(at_most("Service and route created -> 200, p50 ms", 10.0, p50));
    checks.push(at_most("answers but 404 and 200 (Service and route together)", 0.0, wrong.told()));
    Ok(())
}
