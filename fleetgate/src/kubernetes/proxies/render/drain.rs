//! The end of a proxy: readiness fails, clients are asked to close with the next answer, and time passes for endpoints
//! and load balancers to leave this pod out. Then its listeners close, and it ends with its last connection, at the
//! latest with the pod's grace period.

use proto::{PROXY_METRICS_PORT, PROXY_READINESS_PORT};
use serde_json::{Value, json};

use crate::kubernetes::proxies::bootstrap::ADMIN_PORT;
use crate::kubernetes::proxies::parameters::PodTemplate;

/// Time for the connections that are there after the pause, seconds: nobody waits for it where there are none.
const GRACE: u32 = 50;
/// Before the grace period ends, so that Envoy is asked to end and not killed, seconds.
const MARGIN: u32 = 2;
/// Its arguments: the admin interface's port, seconds for others to notice, seconds after which what is left is cut, and
/// ports of ours whose connections do not count. `bash` is in Envoy's image; a probe from outside cannot reach the admin
/// interface.
const SCRIPT: &str = include_str!("drain.sh");

/// `terminationGracePeriodSeconds` of the pod.
pub(super) fn grace_period(template: &PodTemplate) -> u32 {
    let shutdown = &template.graceful_shutdown;
    let pause = if shutdown.enabled { shutdown.sleep_time_seconds } else { 0 };
    template.termination_grace_period_seconds.unwrap_or_else(|| pause.saturating_add(GRACE))
}

/// `lifecycle` of Envoy's container, if it is to end gracefully.
pub(super) fn lifecycle(template: &PodTemplate) -> Option<Value> {
    let shutdown = &template.graceful_shutdown;
    let limit = grace_period(template).saturating_sub(MARGIN);
    let pause = shutdown.sleep_time_seconds.min(limit);
    let ours = format!("{PROXY_READINESS_PORT}|{PROXY_METRICS_PORT}");
    let arguments = [ADMIN_PORT.to_string(), pause.to_string(), limit.to_string(), ours];
    let command = ["/bin/bash", "-c", SCRIPT, "drain"].map(str::to_owned).into_iter().chain(arguments);
    let command: Vec<String> = command.collect();
    shutdown.enabled.then(|| json!({"preStop": {"exec": {"command": command}}}))
}
