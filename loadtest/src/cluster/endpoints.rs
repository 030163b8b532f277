//! One endpoint moves: from the API server's answer to the first answer of the other backend; and the CPU that it takes.

use std::time::{Duration, Instant};

use anyhow::bail;

use super::web::Web;
use super::{Api, BACKENDS, Scene, at_most};
use crate::check::Check;
use crate::stats::percentile;

const PATIENCE: Duration = Duration::from_secs(10);
/// Changes a second where CPU is measured.
const RATE: u32 = 50;
const STEADY: Duration = Duration::from_secs(10);

pub(super) async fn measure(scene: &Scene, count: usize, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let mut web = Web::new(scene.address);
    let host = Api::host(0);
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let (name, port) = BACKENDS[(number + 1) % 2];
        scene.api.endpoint(port).await?;
        let since = Instant::now();
        loop {
            let (status, body) = web.get(&host).await;
            if status == 200 && body.contains(&format!("\"{name}\"")) {
                times.push(since.elapsed().as_secs_f64() * 1e3);
                break;
            }
            if since.elapsed() > PATIENCE {
                bail!("no answer of {name} after {} s: {status}", PATIENCE.as_secs());
            }
        }
    }
    let before = scene.fleetgate.cpu()?;
    let (start, mut changes) = (Instant::now(), 0_u32);
    let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
    while start.elapsed() < STEADY {
        tick.tick().await;
        scene.api.endpoint(BACKENDS[changes as usize % 2].1).await?;
        changes += 1;
    }
    let used = (scene.fleetgate.cpu()? - before).as_secs_f64();
    checks.push(at_most(
        "endpoint changed -> new answer, p50 ms",
        5.0,
        percentile(&times, 50.0).unwrap_or_default(),
    ));
    checks.push(at_most("CPU an endpoint change, ms", 0.3, used * 1e3 / f64::from(changes)));
    let share = used / start.elapsed().as_secs_f64() * 100.0;
    checks.push(at_most("CPU at 50 endpoint changes a second, % of a core", 5.0, share));
    Ok(())
}
