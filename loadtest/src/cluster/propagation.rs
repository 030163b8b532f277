//! Routes one after another: from the API server's answer to the first 200.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::web::Web;
use super::{Api, Scene, at_most};
use crate::check::Check;
use crate::stats::percentile;

/// Until a route must be live.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn measure(scene: &Scene, count: usize, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let mut web = Web::new(scene.address);
    let mut kinds: BTreeMap<(u16, String), usize> = BTreeMap::new();
    let (mut times, mut wrong) = (Vec::with_capacity(count), 0.0);
    for number in 0..count {
        let host = Api::host(number);
        // Asked all the time, as a client would that waits for it.
        let api = scene.api.clone();
        let mut creating =
            Some(tokio::spawn(async move { api.create_route(number).await.map(|()| Instant::now()) }));
        let mut since: Option<Instant> = None;
        loop {
            if let Some(created) = creating.take_if(|creating| creating.is_finished()) {
                since = Some(created.await??);
            }
            let status = web.get(&host).await;
            match (status.0, since) {
                (200, Some(since)) => {
                    times.push(since.elapsed().as_secs_f64() * 1e3);
                    break;
                }
                // It may be live before the API server's answer is here.
                (200, None) => {
                    if let Some(creating) = creating.take() {
                        creating.await??;
                    }
                    times.push(0.0);
                    break;
                }
                (404, _) => {}
                _ => {
                    wrong += 1.0;
                    *kinds.entry(status).or_default() += 1;
                }
            }
            if since.is_some_and(|since| since.elapsed() > PATIENCE) {
                bail!("{host} is not live after {} s", PATIENCE.as_secs());
            }
        }
    }
    for ((status, body), count) in &kinds {
        eprintln!("{count} x {status} {body}");
    }
    let of = |slice: &[f64], p| percentile(slice, p).unwrap_or_default();
    let third = (times.len() / 3).max(1);
    let (first, last) = (&times[..third], &times[times.len() - third..]);
    checks.push(at_most("route created -> 200, p50 ms", 10.0, of(&times, 50.0)));
    checks.push(at_most("route created -> 200, p99 ms", 40.0, of(&times, 99.0)));
    let growth = of(last, 50.0) / of(first, 50.0).max(0.1);
    checks.push(at_most("growth: p50 of the last third / of the first", 1.25, growth));
    checks.push(at_most("answers but 404 and 200", 0.0, wrong));
    Ok(())
}
