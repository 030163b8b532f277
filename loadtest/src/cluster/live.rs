//! Something is made, and asked for all the time until it is live.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::web::Web;

/// Until it must be live.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers that were neither the old nor the new one, by what they were.
#[derive(Debug, Default)]
pub(super) struct Wrong(BTreeMap<(u16, String), usize>);

impl Wrong {
    pub(super) fn add(&mut self, answer: (u16, String)) {
        *self.0.entry(answer).or_default() += 1;
    }

    /// Tells them, and gives their number.
    pub(super) fn told(&self) -> f64 {
        for ((status, body), count) in &self.0 {
            eprintln!("{count} x {status} {body}");
        }
        self.0.values().sum::<usize>() as f64
    }
}

/// Milliseconds from the API server's answer to the first 200; before it only 404 is right.
///
/// # Errors
/// If it cannot be made, or is not live in time.
pub(super) async fn until_live(
    web: &mut Web,
    host: &str,
    making: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    wrong: &mut Wrong,
) -> anyhow::Result<f64> {
    // Asked all the time, as a client would that waits for it.
    let mut making = Some(tokio::spawn(async move { making.await.map(|()| Instant::now()) }));
    let mut since: Option<Instant> = None;
    loop {
        if let Some(made) = making.take_if(|making| making.is_finished()) {
            since = Some(made.await??);
        }
        let answer = web.get(host).await;
        match answer.0 {
            200 => {
                // It may be live before the API server's answer is here.
                if let Some(making) = making.take() {
                    making.await??;
                }
                return Ok(since.map_or(0.0, |since| since.elapsed().as_secs_f64() * 1e3));
            }
            404 => {}
            _ => wrong.add(answer),
        }
        if since.is_some_and(|since| since.elapsed() > PATIENCE) {
            bail!("{host} is not live after {} s", PATIENCE.as_secs());
        }
    }
}
