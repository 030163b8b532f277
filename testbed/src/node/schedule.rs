//! The scheduler: there is one node, so a pod goes there or nowhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;

use super::context::Context;

/// Binds pods that have no node yet, until it is dropped.
pub(super) async fn bind_pending(cx: Arc<Context>) {
    let config = watcher::Config::default().fields("spec.nodeName=");
    let stream = watcher(Api::<Pod>::all(cx.client.clone()), config).default_backoff().applied_objects();
    let mut stream = std::pin::pin!(stream);
    while let Some(pod) = stream.next().await {
        let Ok(pod) = pod else { continue };
        match verdict(&pod, &cx.args.name) {
            Verdict::Bind => bind(&cx, &pod).await,
            Verdict::Leave => {}
            Verdict::Refuse(why) => cx.events.warn(&pod, "FailedScheduling", why).await,
        }
    }
}

enum Verdict {
    Bind,
    /// Not ours to bind, or not yet.
    Leave,
    Refuse(String),
}

fn verdict(pod: &Pod, node: &str) -> Verdict {
    let Some(spec) = &pod.spec else { return Verdict::Leave };
    let ours = spec.scheduler_name.as_deref().is_none_or(|name| name == "default-scheduler");
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    if !ours || gated || spec.node_name.is_some() || pod.metadata.deletion_timestamp.is_some() {
        return Verdict::Leave;
    }
    let known: BTreeMap<&str, &str> = [
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/hostname", node),
        ("kubernetes.io/arch", if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }),
    ]
    .into();
    let wanted = spec.node_selector.clone().unwrap_or_default();
    match wanted.iter().find(|(name, value)| known.get(name.as_str()) != Some(&value.as_str())) {
        Some((name, value)) => Verdict::Refuse(format!(
            "the cluster's one node does not have the label {name}={value} that spec.nodeSelector asks for"
        )),
        None => Verdict::Bind,
    }
}

async fn bind(cx: &Context, pod: &Pod) {
    let (Some(name), Some(namespace)) = (&pod.metadata.name, &pod.metadata.namespace) else { return };
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": { "name": name, "namespace": namespace, "uid": pod.metadata.uid },
        "target": { "apiVersion": "v1", "kind": "Node", "name": cx.args.name },
    });
    let bound: Result<k8s_openapi::apimachinery::pkg::apis::meta::v1::Status, _> =
        cx.pods(namespace).create_subresource("binding", name, &PostParams::default(), &binding).await;
    match bound {
        Ok(_) => {
            let to = format!("Successfully assigned {namespace}/{name} to {}", cx.args.name);
            let (cx, pod) = (cx.events.clone(), pod.clone());
            tokio::spawn(async move { cx.tell(&pod, "Scheduled", to).await });
        }
        // Gone or bound meanwhile.
        Err(kube::Error::Api(error)) if matches!(error.code, 404 | 409) => {}
        Err(error) => {
            cx.events.warn(pod, "FailedScheduling", format!("the binding was refused: {error}")).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(spec: serde_json::Value) -> String {
        let pod: Pod = serde_json::from_value(json!({ "metadata": { "name": "p" }, "spec": spec })).unwrap();
        match verdict(&pod, "node-1") {
            Verdict::Bind => "bind".into(),
            Verdict::Leave => "leave".into(),
            Verdict::Refuse(why) => why,
        }
    }

    #[test]
    fn verdicts() {
        assert_eq!(judge(json!({ "containers": [] })), "bind");
        assert_eq!(judge(json!({ "containers": [], "schedulerName": "other" })), "leave");
        assert_eq!(judge(json!({ "containers": [], "schedulingGates": [{ "name": "x" }] })), "leave");
        assert_eq!(judge(json!({ "containers": [], "nodeName": "x" })), "leave");
        assert_eq!(
            judge(json!({ "containers": [], "nodeSelector": { "kubernetes.io/os": "linux" } })),
            "bind"
        );
        assert!(judge(json!({ "containers": [], "nodeSelector": { "zone": "a" } })).contains("zone=a"));
    }
}
