//! Routes one after another: from the API server's answer to the first 200.

use super::live::{Wrong, until_live};
use super::web::Web;
use super::{Api, Scene, at_most};
use crate::check::Check;
use crate::stats::percentile;

pub(super) async fn measure(scene: &Scene, count: usize, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let mut web = Web::new(scene.address);
    let (mut times, mut wrong) = (Vec::with_capacity(count), Wrong::default());
    for number in 0..count {
        let api = scene.api.clone();
        let making = async move { api.create_route(number).await };
        times.push(until_live(&mut web, &Api::host(number), making, &mut wrong).await?);
    }
    let of = |slice: &[f64], p| percentile(slice, p).unwrap_or_default();
    let third = (times.len() / 3).max(1);
    let (first, last) = (&times[..third], &times[times.len() - third..]);
    checks.push(at_most("route created -> 200, p50 ms", 10.0, of(&times, 50.0)));
    checks.push(at_most("route created -> 200, p99 ms", 40.0, of(&times, 99.0)));
    let growth = of(last, 50.0) / of(first, 50.0).max(0.1);
    checks.push(at_most("growth: p50 of the last third / of the first", 1.25, growth));
    checks.push(at_most("answers but 404 and 200", 0.0, wrong.told()));
    Ok(())
}
