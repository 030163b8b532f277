//! All metrics by name, and the recorder behind `/metrics`.

use anyhow::Context;
use metrics::{describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Managed Envoys that are kept running.
pub(crate) const ENVOYS: &str = "fleetgate_envoys";
/// Managed Envoys that died or could not be started.
pub(crate) const ENVOY_RESTARTS: &str = "fleetgate_envoy_restarts_total";
/// Faults of objects.
pub(crate) const FAULTS: &str = "fleetgate_faults";
/// Faults of files.
pub(crate) const SOURCE_FAULTS: &str = "fleetgate_source_faults";
/// Kubernetes Events, by what became of them.
pub(crate) const KUBERNETES_EVENTS: &str = "fleetgate_kubernetes_events_total";
/// Connections of the admin and health endpoints that ask nothing.
pub(crate) const ADMIN_WAITING: &str = "fleetgate_admin_waiting_connections";
/// 1 while the state directory is there and can be written.
pub(crate) const STATE_DIR: &str = "fleetgate_state_directory_ok";
const LOG_BYTES: &str = "fleetgate_log_bytes";
const RESIDENT: &str = "process_resident_memory_bytes";
const CPU: &str = "process_cpu_seconds_total";

/// Bounds of the histograms in seconds: 0.1 ms to 10 s.
const BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Installs the recorder of this process.
///
/// # Errors
/// If there is one already.
pub(crate) fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot set up metrics")?;
    describe();
    distribute::metrics::describe();
    Ok(handle)
}

fn describe() {
    describe_counter!("fleetgate_events_total", "Events made durable, by kind of object and change");
    describe_gauge!("fleetgate_revision", "Revision of the newest delta");
    describe_gauge!("fleetgate_nodes", "Live nodes of the translation engine, by stage");
    describe_counter!("fleetgate_nodes_dirty_total", "Nodes marked dirty, by stage");
    describe_counter!("fleetgate_nodes_recomputed_total", "Nodes computed, by stage");
    describe_counter!("fleetgate_delta_bytes_total", "Encoded size of the pieces in all deltas");
    describe_counter!("fleetgate_delta_resources_total", "Pieces in all deltas, by type and operation");
    describe_counter!(
        "fleetgate_translator_panics_total",
        "Computations that the translator panicked on, by stage"
    );
    describe_histogram!("fleetgate_hop_seconds", "Time since the source observed the change, by hop");
    describe_gauge!(FAULTS, "Faults of objects");
    describe_gauge!(SOURCE_FAULTS, "Faults of files in the config directory");
    describe_gauge!(ENVOYS, "Managed Envoys");
    describe_counter!(ENVOY_RESTARTS, "Managed Envoys that died or could not be started");
    describe_counter!(KUBERNETES_EVENTS, "Kubernetes Events, by what became of them");
    describe_gauge!(ADMIN_WAITING, "Connections of the admin and health endpoints that ask nothing");
    describe_gauge!(STATE_DIR, "1 while the state directory is there and can be written");
    describe_gauge!(LOG_BYTES, "Size of the event log on disk");
    describe_gauge!(RESIDENT, "Resident memory of this process");
    describe_gauge!(CPU, "CPU time of this process, user and system");
}

/// Reads what nobody tells: memory, CPU time, and the size of the log.
pub(crate) fn sample(log: &std::path::Path) {
    if let Some(bytes) = resident_bytes() {
        gauge!(RESIDENT).set(bytes as f64);
    }
    if let Some(seconds) = cpu_seconds() {
        gauge!(CPU).set(seconds);
    }
    gauge!(LOG_BYTES).set(directory_bytes(log) as f64);
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// In the stat file the name comes in parentheses and may have spaces; user and system time are the
/// 12th and 13th field after it, in hundredths of a second.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) as f64 / 100.0)
}

fn directory_bytes(dir: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(file) if file.is_dir() => directory_bytes(&entry.path()),
        Ok(file) => file.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_process_knows_its_memory_and_time() {
        assert!(super::resident_bytes().unwrap() > 100_000);
        assert!(super::cpu_seconds().is_some());
    }
}
