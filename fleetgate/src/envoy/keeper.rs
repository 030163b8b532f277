//! Keeps one Envoy running.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::backoff::Backoff;
use super::drain::drain;
use super::process::{Process, Spec};

/// What a keeper is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Keep it running.
    Run,
    /// End the process once nothing is under way, and remove its files.
    End,
    /// The same without a wait.
    EndNow,
    /// Stop looking after it, and let it run on.
    Leave,
}

/// Time, so that tests need not wait for it.
pub(crate) trait Clock: Send + Sync + 'static {
    /// The present.
    fn now(&self) -> Instant;
    /// Waits.
    fn sleep(&self, pause: Duration) -> impl Future<Output = ()> + Send;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    async fn sleep(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}

/// Runs until told otherwise; adopts a live process, restarts a dead one after a pause.
pub(crate) async fn keep(gateway: String, spec: Spec, clock: impl Clock, mut orders: watch::Receiver<Order>) {
    let mut backoff = Backoff::default();
    let mut adopted = Process::adopt(&spec);
    loop {
        let started = clock.now();
        let problem = match launch(&gateway, adopted.take(), &spec) {
            Ok(mut process) => {
                let how = tokio::select! {
                    how = process.ended() => how,
                    order = next(&mut orders) => return obey(&gateway, order, process, &spec, orders).await,
                };
                format!("died ({how}), see {}", spec.files.log.display())
            }
            Err(error) => format!("cannot be started ({}): {error}", spec.program.display()),
        };
        let pause = backoff.after(clock.now().duration_since(started));
        metrics::counter!(crate::metrics::ENVOY_RESTARTS).increment(1);
        tracing::warn!(
            "Envoy of Gateway {gateway} {problem}; it is started again in {} s",
            pause.as_secs_f32()
        );
        tokio::select! {
            () = clock.sleep(pause) => {}
            order = next(&mut orders) => {
                if order != Order::Leave {
                    spec.files.remove();
                }
                return;
            }
        }
    }
}

fn launch(gateway: &str, adopted: Option<Process>, spec: &Spec) -> std::io::Result<Process> {
    let (verb, process) = match adopted {
        Some(process) => ("adopted", process),
        None => ("started", Process::start(spec)?),
    };
    let pid = process.id().map_or(0, |pid| pid.as_raw_nonzero().get());
    tracing::info!("{verb} the Envoy of Gateway {gateway} (process {pid}, log {})", spec.files.log.display());
    Ok(process)
}

async fn next(orders: &mut watch::Receiver<Order>) -> Order {
    match orders.wait_for(|order| *order != Order::Run).await {
        Ok(order) => *order,
        // Whoever gave orders is gone without saying what to do.
        Err(_) => Order::Leave,
    }
}

async fn obey(
    gateway: &str,
    order: Order,
    mut process: Process,
    spec: &Spec,
    mut orders: watch::Receiver<Order>,
) {
    if order == Order::Leave {
        return;
    }
    let hurry = async {
        if orders.wait_for(|order| *order == Order::EndNow).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = drain(&spec.files) => {}
        _ = process.ended() => {}
        () = hurry => {}
    }
    process.end().await;
    spec.files.remove();
    tracing::info!("ended the Envoy of Gateway {gateway}");
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
