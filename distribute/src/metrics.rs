//! Names of the metrics, in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::{resource::ResourceType, xds::Response};

const RESPONSES: &str = "fleetgate_xds_responses_total";
const BYTES: &str = "fleetgate_xds_bytes_total";
const RESOURCES: &str = "fleetgate_xds_resources_total";
const ACKS: &str = "fleetgate_xds_acks_total";
const NACKS: &str = "fleetgate_xds_nacks_total";
const STREAMS: &str = "fleetgate_xds_streams";
pub(crate) const UNKNOWN: &str = "fleetgate_xds_unknown_connections";
const REFUSED: &str = "fleetgate_xds_refused_total";
const REQUEST_BYTES: &str = "fleetgate_xds_request_bytes";
const HOP: &str = "fleetgate_hop_seconds";

/// Describes every metric of this crate; call after the recorder is installed.
pub fn describe() {
    describe_counter!(RESPONSES, "Delta xDS responses sent, by type");
    describe_counter!(BYTES, Unit::Bytes, "Bytes of delta xDS responses sent, by type");
    describe_counter!(RESOURCES, "Resources sent to proxies, by type");
    describe_counter!(ACKS, "Responses that a proxy ACKed, by type");
    describe_counter!(NACKS, "Responses that a proxy refused, by type");
    describe_gauge!(STREAMS, "Connected delta xDS streams");
    describe_gauge!(UNKNOWN, "Connections without a stream of a known proxy");
    describe_counter!(REFUSED, "Connections, streams and requests that were refused or cut, by reason");
    describe_gauge!(REQUEST_BYTES, Unit::Bytes, "Large requests that are under way or being handled");
    describe_histogram!(HOP, Unit::Seconds, "Time from 'observed' at the source until the hop");
}

pub(crate) fn sent(response: &Response, bytes: usize) {
    let kind = response.kind.label();
    counter!(RESPONSES, "type" => kind).increment(1);
    counter!(BYTES, "type" => kind).increment(bytes as u64);
    counter!(RESOURCES, "type" => kind).increment(response.resources.len() as u64);
    hop("sent", response.observed);
}

pub(crate) fn acked(kind: ResourceType, observed: i64) {
    counter!(ACKS, "type" => kind.label()).increment(1);
    hop("acked", observed);
}

pub(crate) fn nacked(kind: ResourceType) {
    counter!(NACKS, "type" => kind.label()).increment(1);
}

pub(crate) fn streams(change: f64) {
    gauge!(STREAMS).increment(change);
}

pub(crate) fn request_bytes(change: f64) {
    gauge!(REQUEST_BYTES).increment(change);
}

pub(crate) fn refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

fn hop(hop: &'static str, observed: i64) {
    let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else { return };
    if observed > 0 {
        let nanos = (now.as_nanos() as i64).saturating_sub(observed).max(0);
        histogram!(HOP, "hop" => hop).record(nanos as f64 / 1e9);
    }
}
