//! Restart on a full state directory, with an Envoy that stays up.

use std::time::{Duration, Instant};

use crate::bed::Bed;
use crate::record::Record;
use crate::scenario::{EXTRAS, propagation};
use crate::watch::Watch;

const STREAM_LIMIT: Duration = Duration::from_secs(60);
/// After the stream is there, whatever would be resent has been by then.
const QUIET: Duration = Duration::from_secs(1);
const STREAMS: &str = "fleetgate_xds_streams";
const RESOURCES: &str = "fleetgate_xds_resources_total";

/// Restarts fleetgate, counts what the Envoy that stayed up is resent, and shows that it still listens.
///
/// # Errors
/// If it does not start, or the Envoy does not come back to it.
pub(crate) fn measure(bed: &mut Bed, record: &mut Record) -> anyhow::Result<()> {
    bed.note_memory(record);
    bed.floor.detach(Vec::new());
    bed.side.restart()?;
    record.restart_s = Some(bed.side.control_plane.process.started().elapsed().as_secs_f64());
    record.restart_cpu_s = Some(bed.side.control_plane.process.cpu_ns() as f64 / 1e9);
    let mut last = None;
    while last.is_none() {
        bed.check_alive()?;
        let metrics = bed.side.control_plane.metrics()?;
        last = (metrics.sum(STREAMS) >= 1.0).then_some(());
        if bed.side.control_plane.process.started().elapsed() > STREAM_LIMIT {
            anyhow::bail!("Envoy did not come back within {} s", STREAM_LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(QUIET);
    record.restart_resources_resent = Some(bed.side.control_plane.metrics()?.sum(RESOURCES));

    let mut watch = Watch::new(bed.ports[0], bed.side.steady());
    for step in propagation(&bed.side.directory, &bed.pods[0], EXTRAS).iter().take(2) {
        let start = Instant::now();
        step.apply(&bed.side.directory)?;
        watch.settle(step, start)?;
    }
    record.answers = watch.answers;
    record.wrong_answers = watch.wrong.values().sum();
    record.wrong = watch.wrong;
    Ok(())
}
