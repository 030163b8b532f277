//! Ctrl-C and SIGTERM end the demo in order, so that no process is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::Outcome;

/// Whether somebody asked for the end.
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on these signals are noted instead of ending the process.
    pub(super) fn install() -> Outcome<Interrupt> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&asked))
                .map_err(|error| format!("cannot take signals: {error}"))?;
        }
        Ok(Interrupt(asked))
    }

    /// An error once the end was asked for.
    pub(super) fn check(&self) -> Outcome {
        if self.0.load(Ordering::Relaxed) { Err("interrupted".to_owned()) } else { Ok(()) }
    }

    /// Sleeps, but not on when the end is asked for.
    pub(super) fn pause(&self, time: Duration) -> Outcome {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.check()?;
            std::thread::sleep(Duration::from_millis(20).min(end.saturating_duration_since(Instant::now())));
        }
        self.check()
    }
}
