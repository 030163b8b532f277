//! Probes: when a container counts as started, ready and alive.

use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ExecAction, HTTPGetAction, Pod, Probe, TCPSocketAction};

use super::handler::{self, Action};
use super::state::Shared;
use crate::node::container::process::Entrance;
use crate::node::events::Events;

/// Counts results in a row: pure.
#[derive(Debug)]
pub(super) struct Tally {
    success_threshold: i32,
    failure_threshold: i32,
    row: i32,
    last: Option<bool>,
}

impl Tally {
    fn new(probe: &Probe) -> Tally {
        Tally {
            success_threshold: probe.success_threshold.unwrap_or(1).max(1),
            failure_threshold: probe.failure_threshold.unwrap_or(3).max(1),
            row: 0,
            last: None,
        }
    }

    /// The verdict after this result, if it is one.
    fn count(&mut self, success: bool) -> Option<bool> {
        self.row = if self.last == Some(success) { self.row.saturating_add(1) } else { 1 };
        self.last = Some(success);
        let needed = if success { self.success_threshold } else { self.failure_threshold };
        (self.row >= needed).then_some(success)
    }
}

/// What a probe needs.
#[derive(Clone)]
pub(super) struct Probing {
    pub(super) shared: Shared,
    pub(super) events: Events,
    pub(super) address: Ipv4Addr,
    pub(super) entrance: Entrance,
}

impl Probing {
    /// Runs the container's probes until it has to be restarted: then the sentence says why.
    pub(super) async fn run(&self, container: &Container) -> String {
        if let Some(probe) = &container.startup_probe
            && let Err(why) = self.until(container, probe, "Startup", true).await
        {
            return format!("Container {} failed startup probe, will be restarted: {why}", container.name);
        }
        let ready = container.readiness_probe.is_none();
        self.shared.update(&container.name, |view| {
            view.started = true;
            view.ready |= ready;
        });
        tokio::select! {
            never = self.readiness(container) => never,
            why = self.liveness(container) => why,
        }
    }

    async fn readiness(&self, container: &Container) -> String {
        let Some(probe) = &container.readiness_probe else { return std::future::pending().await };
        let mut tally = Tally::new(probe);
        wait(probe.initial_delay_seconds.unwrap_or(0)).await;
        loop {
            let result = self.once(container, probe, "Readiness").await;
            if let Some(verdict) = tally.count(result.is_ok()) {
                self.shared.update(&container.name, |view| view.ready = verdict);
            }
            wait(probe.period_seconds.unwrap_or(10).max(1)).await;
        }
    }

    async fn liveness(&self, container: &Container) -> String {
        let Some(probe) = &container.liveness_probe else { return std::future::pending().await };
        match self.until(container, probe, "Liveness", false).await {
            Err(why) => {
                format!("Container {} failed liveness probe, will be restarted: {why}", container.name)
            }
            Ok(()) => std::future::pending().await,
        }
    }

    /// Probes until the failure threshold is reached or, if `once` is enough, the success threshold.
    async fn until(
        &self,
        container: &Container,
        probe: &Probe,
        kind: &str,
        once: bool,
    ) -> Result<(), String> {
        let mut tally = Tally::new(probe);
        wait(probe.initial_delay_seconds.unwrap_or(0)).await;
        loop {
            let result = self.once(container, probe, kind).await;
            match (tally.count(result.is_ok()), result) {
                (Some(true), _) if once => return Ok(()),
                (Some(false), Err(why)) => return Err(why),
                _ => {}
            }
            // A startup probe holds everything up: as it is cheap here, it is asked more often.
            let period = probe.period_seconds.unwrap_or(10).max(1);
            wait(if once { period.min(2) } else { period }).await;
        }
    }

    async fn once(&self, container: &Container, probe: &Probe, kind: &str) -> Result<(), String> {
        let limit = seconds(probe.timeout_seconds.unwrap_or(1).max(1));
        let Some(action) = action(container, probe) else { return Ok(()) };
        let run = handler::run(&action, self.address, &self.entrance, limit);
        let result = match tokio::time::timeout(limit, run).await {
            Ok(result) => result,
            Err(_) => Err(format!("timed out after {} s", limit.as_secs())),
        };
        if let Err(why) = &result {
            let pod: &Pod = &self.shared.pod();
            self.events
                .warn(pod, "Unhealthy", format!("{kind} probe of {} failed: {why}", container.name))
                .await;
        }
        result
    }
}

fn action(container: &Container, probe: &Probe) -> Option<Action> {
    if let Some(grpc) = &probe.grpc {
        let port = u16::try_from(grpc.port).ok()?;
        return Some(Action::Grpc { port, service: grpc.service.clone().unwrap_or_default() });
    }
    let (exec, http, tcp) = (probe.exec.as_ref(), probe.http_get.as_ref(), probe.tcp_socket.as_ref());
    of(container, exec, http, tcp)
}

/// The action of a probe or a hook.
pub(super) fn of(
    container: &Container,
    exec: Option<&ExecAction>,
    http: Option<&HTTPGetAction>,
    tcp: Option<&TCPSocketAction>,
) -> Option<Action> {
    if let Some(exec) = exec {
        return Some(Action::Exec(exec.command.clone().unwrap_or_default()));
    }
    if let Some(http) = http {
        return Some(Action::Http { port: handler::port(container, &http.port), get: http.clone() });
    }
    tcp.map(|tcp| Action::Tcp { host: tcp.host.clone(), port: handler::port(container, &tcp.port) })
}

fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(u64::from(seconds.unsigned_abs()))
}

async fn wait(period: i32) {
    tokio::time::sleep(seconds(period)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_count_results_in_a_row() {
        let probe = Probe { success_threshold: Some(2), failure_threshold: Some(3), ..Probe::default() };
        let mut tally = Tally::new(&probe);
        let results = [true, false, false, true, true, true, false, false, false, false];
        let verdicts: Vec<_> = results.into_iter().map(|result| tally.count(result)).collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(verdicts, [None, None, None, None, yes, yes, None, None, no, no]);
    }
}
