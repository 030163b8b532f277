//! Metrics of a shard's loop.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use proto::{Change, Delta, Event, XdsKind};
use translate::Stats;

/// Seconds since the oldest event of a batch was observed.
pub(crate) fn hop(hop: &'static str, observed: Option<i64>) {
    if let Some(observed) = observed {
        let age = now().saturating_sub(observed).max(0);
        metrics::histogram!("fleetgate_hop_seconds", "hop" => hop).record(age as f64 / 1e9);
    }
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

/// Durable events by kind and change.
pub(crate) fn events(batch: &[Event]) {
    let mut counts: BTreeMap<(&str, &'static str), u64> = BTreeMap::new();
    for event in batch {
        let change = match event.change {
            Change::Upsert(_) => "upsert",
            Change::Delete => "delete",
            Change::Synced { .. } => "synced",
            Change::Unknown(_) => "unknown",
        };
        *counts.entry((event.key.kind.kind(), change)).or_default() += 1;
    }
    for ((kind, change), count) in counts {
        metrics::counter!("fleetgate_events_total", "kind" => kind.to_owned(), "change" => change)
            .increment(count);
    }
}

/// Nodes of the engine, and its work for the last batch.
pub(crate) fn stages(stats: &Stats) {
    for (stage, counts) in &stats.stages {
        let stage = *stage;
        if counts.dirty == 0 {
            continue;
        }
        metrics::gauge!("fleetgate_nodes", "stage" => stage).set(counts.nodes as f64);
        metrics::counter!("fleetgate_nodes_dirty_total", "stage" => stage).increment(counts.dirty as u64);
        metrics::counter!("fleetgate_nodes_recomputed_total", "stage" => stage)
            .increment(counts.recomputed as u64);
        if counts.failed > 0 {
            metrics::counter!("fleetgate_translator_panics_total", "stage" => stage)
                .increment(counts.failed as u64);
        }
    }
}

/// Size of a delta as the translator made it, before it is put together for the proxies.
pub(crate) fn delta(delta: &Delta) {
    metrics::gauge!("fleetgate_revision").set(delta.revision.0 as f64);
    let bytes: usize = delta.puts.iter().map(proto::Put::size).sum();
    metrics::counter!("fleetgate_delta_bytes_total").increment(bytes as u64);
    let puts = delta.puts.iter().map(|put| (put.key.kind, "put"));
    let removes = delta.removes.iter().map(|key| (key.kind, "remove"));
    let mut counts: BTreeMap<(XdsKind, &'static str), u64> = BTreeMap::new();
    for change in puts.chain(removes) {
        *counts.entry(change).or_default() += 1;
    }
    for ((kind, op), count) in counts {
        metrics::counter!("fleetgate_delta_resources_total", "type" => kind_name(kind), "op" => op)
            .increment(count);
    }
}

/// Name of a kind of piece in metrics and in summaries.
pub(crate) fn kind_name(kind: XdsKind) -> &'static str {
    match kind {
        XdsKind::Cluster => "Cluster",
        XdsKind::Endpoints => "Endpoints",
        XdsKind::Listener => "Listener",
        XdsKind::RouteTable => "RouteTable",
        XdsKind::VirtualHost => "VirtualHost",
        XdsKind::Routes => "Routes",
        XdsKind::ScopedListener => "ScopedListener",
        XdsKind::Secret => "Secret",
    }
}
