//! A pod's status from its state: pure, but for the time of a transition.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::state::{Doing, Ended, State, View};

/// The status as the API server wants it.
///
/// A strategic merge patch: conditions that others own (readiness gates) stay. A condition's transition time changes
/// with its status only.
pub(super) fn compute(pod: &Pod, state: &State, host: Ipv4Addr, now: Timestamp) -> Value {
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let phase = phase(spec, state);
    let init: Vec<&Container> = spec.init_containers.iter().flatten().collect();
    let main: Vec<&Container> = spec.containers.iter().collect();
    let mut status = json!({
        "phase": phase,
        "conditions": conditions(pod, spec, state, phase, now),
        "hostIP": host.to_string(),
        "hostIPs": [{ "ip": host.to_string() }],
        "startTime": state.since.map(second),
        "containerStatuses": statuses(&main, state),
        "observedGeneration": pod.metadata.generation,
    });
    if !init.is_empty() {
        status["initContainerStatuses"] = statuses(&init, state);
    }
    if let Some(address) = state.address {
        status["podIP"] = json!(address.to_string());
        status["podIPs"] = json!([{ "ip": address.to_string() }, { "$patch": "replace" }]);
    }
    status
}

fn view(state: &State, container: &Container) -> View {
    state.containers.get(&container.name).cloned().unwrap_or_default()
}

/// Whether a container that ended like this will not run again.
pub(super) fn is_final(policy: Option<&str>, code: i32) -> bool {
    match policy {
        Some("Never") => true,
        Some("OnFailure") => code == 0,
        _ => false,
    }
}

fn phase(spec: &PodSpec, state: &State) -> &'static str {
    let policy = spec.restart_policy.as_deref();
    let views: Vec<View> = spec.containers.iter().map(|container| view(state, container)).collect();
    let over = |view: &View| matches!(&view.doing, Doing::Ended(ended) if is_final(policy, ended.code));
    let init_failed = policy == Some("Never")
        && spec.init_containers.iter().flatten().any(|container| {
            matches!(&view(state, container).doing, Doing::Ended(ended) if ended.code != 0)
                && container.restart_policy.is_none()
        });
    if init_failed {
        "Failed"
    } else if !views.is_empty() && views.iter().all(over) {
        let failed = views.iter().any(|view| matches!(&view.doing, Doing::Ended(ended) if ended.code != 0));
        if failed { "Failed" } else { "Succeeded" }
    } else if views.iter().any(|view| view.last.is_some() || !matches!(view.doing, Doing::Waiting { .. })) {
        "Running"
    } else {
        "Pending"
    }
}

fn conditions(pod: &Pod, spec: &PodSpec, state: &State, phase: &str, now: Timestamp) -> Vec<Value> {
    let unready: Vec<&str> = spec
        .containers
        .iter()
        .filter(|c| !view(state, c).ready)
        .map(|container| container.name.as_str())
        .collect();
    let over = matches!(phase, "Succeeded" | "Failed");
    let (reason, message) = match phase {
        "Succeeded" => (Some("PodCompleted"), None),
        "Failed" => (Some("PodFailed"), None),
        _ if unready.is_empty() => (None, None),
        _ => (
            Some("ContainersNotReady"),
            Some(format!("containers with unready status: [{}]", unready.join(" "))),
        ),
    };
    let containers_ready = unready.is_empty() && !over;
    let old = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let gates_open = spec.readiness_gates.iter().flatten().all(|gate| {
        old.clone().any(|condition| condition.type_ == gate.condition_type && condition.status == "True")
    });
    let not_initialized = (!state.initialized).then_some("ContainersNotInitialized");
    let ours = [
        ("PodScheduled", true, None, None),
        ("PodReadyToStartContainers", state.address.is_some(), None, None),
        ("Initialized", state.initialized, not_initialized, None),
        ("ContainersReady", containers_ready, reason, message.clone()),
        match gates_open {
            true => ("Ready", containers_ready, reason, message),
            false => ("Ready", false, Some("ReadinessGatesNotReady"), None),
        },
    ];
    let mut all = Vec::new();
    for (kind, is, reason, message) in ours {
        let status = if is { "True" } else { "False" };
        let since = old.clone().find(|condition| condition.type_ == kind && condition.status == status);
        let since =
            since.and_then(|condition| condition.last_transition_time.as_ref()).map_or(now, |time| time.0);
        // Null takes away what an earlier status said.
        let mut condition = json!({
            "type": kind,
            "status": status,
            "lastTransitionTime": second(since),
            "reason": reason.filter(|_| !is),
            "message": message.filter(|_| !is),
        });
        if let Some(generation) = pod.metadata.generation {
            condition["observedGeneration"] = json!(generation);
        }
        all.push(condition);
    }
    all
}

fn statuses(containers: &[&Container], state: &State) -> Value {
    let status = |container: &&Container| {
        let view = view(state, container);
        let id = format!("testbed://{}-{}", container.name, view.restarts);
        let doing = match &view.doing {
            Doing::Waiting { reason, message } => {
                json!({ "waiting": { "reason": reason, "message": message } })
            }
            Doing::Running { since } => json!({ "running": { "startedAt": second(*since) } }),
            Doing::Ended(end) => json!({ "terminated": ended(end, &container.name) }),
        };
        let mut status = json!({
            "name": container.name,
            "image": container.image,
            "imageID": container.image,
            "ready": view.ready,
            "started": view.started,
            "restartCount": view.restarts,
            "state": doing,
            "lastState": view.last.as_ref().map_or_else(|| json!({}), |end| {
                json!({ "terminated": ended(end, &container.name) })
            }),
        });
        if !matches!(view.doing, Doing::Waiting { .. }) || view.last.is_some() {
            status["containerID"] = json!(id);
        }
        status
    };
    containers.iter().map(status).collect()
}

fn ended(end: &Ended, container: &str) -> Value {
    let mut ended = json!({
        "containerID": format!("testbed://{container}-{}", end.run),
        "exitCode": end.code,
        "reason": end.reason,
        "startedAt": second(end.started),
        "finishedAt": second(end.finished),
    });
    if let Some(signal) = end.signal {
        ended["signal"] = json!(signal);
    }
    if let Some(message) = &end.message {
        ended["message"] = json!(message);
    }
    ended
}

/// The time to the second, as the API has it.
fn second(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T00:00:09Z";

    fn pod(policy: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "p", "generation": 3 },
            "spec": { "restartPolicy": policy, "containers": [{ "name": "a", "image": "i" }, { "name": "b" }] },
            "status": { "conditions": [
                { "type": "Other", "status": "True" },
                { "type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z" },
                { "type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:01Z" },
            ] },
        }))
        .unwrap()
    }

    fn status(pod: &Pod, state: &State) -> Value {
        compute(pod, state, [10, 64, 0, 1].into(), NOW.parse().unwrap())
    }

    fn running() -> View {
        let doing = Doing::Running { since: NOW.parse().unwrap() };
        View { doing, ready: true, started: true, ..View::default() }
    }

    fn over(code: i32) -> View {
        let time = NOW.parse().unwrap();
        let ended = Ended {
            run: 0,
            code,
            signal: None,
            reason: "Error",
            message: None,
            started: time,
            finished: time,
        };
        View { doing: Doing::Ended(ended), ..View::default() }
    }

    fn state(views: [View; 2]) -> State {
        let [a, b] = views;
        let containers = [("a".to_owned(), a), ("b".to_owned(), b)].into();
        State {
            address: Some([10, 64, 0, 2].into()),
            since: None,
            containers,
            initialized: true,
            ..State::default()
        }
    }

    fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
        status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap()
    }

    #[test]
    fn a_pod_that_runs() {
        let status = status(&pod("Always"), &state([running(), running()]));
        assert_eq!(status["phase"], "Running");
        assert_eq!(status["podIPs"], json!([{ "ip": "10.64.0.2" }, { "$patch": "replace" }]));
        assert_eq!(condition(&status, "Ready")["status"], "True");
        assert_eq!(condition(&status, "Ready")["lastTransitionTime"], NOW, "it became true now");
        assert_eq!(condition(&status, "PodScheduled")["lastTransitionTime"], "2026-01-01T00:00:01Z", "kept");
        assert_eq!(status["conditions"].as_array().unwrap().len(), 5, "nothing of what others own");
        assert_eq!(status["containerStatuses"][0]["state"], json!({ "running": { "startedAt": NOW } }));
        assert_eq!(status["containerStatuses"][0]["containerID"], "testbed://a-0");
    }

    #[test]
    fn one_that_is_not_ready_names_what_is_missing() {
        let status = status(&pod("Always"), &state([running(), View::default()]));
        assert_eq!(
            (&status["phase"], &condition(&status, "Ready")["status"]),
            (&json!("Running"), &json!("False"))
        );
        assert_eq!(condition(&status, "Ready")["lastTransitionTime"], "2026-01-01T00:00:01Z");
        assert_eq!(condition(&status, "ContainersReady")["message"], "containers with unready status: [b]");
        assert_eq!(status["containerStatuses"][1]["state"]["waiting"]["reason"], "ContainerCreating");
    }

    #[test]
    fn phases() {
        let phase = |policy, views| status(&pod(policy), &state(views))["phase"].as_str().unwrap().to_owned();
        assert_eq!(phase("Always", [View::default(), View::default()]), "Pending");
        assert_eq!(phase("Always", [over(0), over(0)]), "Running", "they start again");
        assert_eq!(phase("Never", [over(0), over(0)]), "Succeeded");
        assert_eq!(phase("Never", [over(0), over(2)]), "Failed");
        assert_eq!(phase("Never", [over(0), running()]), "Running");
        assert_eq!(phase("OnFailure", [over(0), over(2)]), "Running");
        assert_eq!(phase("OnFailure", [over(0), over(0)]), "Succeeded");
    }

    #[test]
    fn readiness_gates() {
        let mut gated = pod("Always");
        let gate = json!([{ "conditionType": "Closed" }]);
        gated.spec.as_mut().unwrap().readiness_gates = serde_json::from_value(gate).unwrap();
        let both = status(&gated, &state([running(), running()]));
        assert_eq!(condition(&both, "Ready")["reason"], "ReadinessGatesNotReady");
        assert_eq!(condition(&both, "ContainersReady")["status"], "True");
    }
}
