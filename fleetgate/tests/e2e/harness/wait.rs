//! Waiting for conditions, never for time.

use std::time::{Duration, Instant};

/// The longest that anything may take within a process or between two. It takes milliseconds, but not on a machine
/// that has much else to do.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
/// The longest that a state of a cluster may take, which may need processes to start. Command lines in a bed have it
/// as `$PATIENCE`, with its unit.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(5);

/// Asks again and again until the answer is good; panics with the last complaint after the deadline.
pub(crate) async fn until<T>(what: &str, attempt: impl AsyncFnMut() -> Result<T, String>) -> T {
    until_within(DEADLINE, what, attempt).await
}

/// [`until`], with a deadline of its own.
pub(crate) async fn until_within<T>(
    deadline: Duration,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(complaint) => {
                assert!(Instant::now() < end, "not within {deadline:?}: {what}; last: {complaint}");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
