//! The pod that a replica runs in: when it is gone, so is the replica.

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::{Client, ResourceExt};

/// A pod, in fleetgate's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnPod {
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl OwnPod {
    /// The one with this name; none outside of a cluster, or without the right to get it.
    pub(crate) async fn find(client: &Client, namespace: &str, name: &str) -> Option<OwnPod> {
        match pods(client, namespace).get_opt(name).await {
            Ok(pod) => Some(OwnPod { name: name.to_owned(), uid: pod?.uid()? }),
            Err(error) => {
                tracing::warn!(
                    "pod {namespace}/{name} cannot be read ({error}): when it dies its Lease has to run out"
                );
                None
            }
        }
    }

    /// As an annotation has it.
    pub(crate) fn written(&self) -> String {
        format!("{}/{}", self.name, self.uid)
    }

    /// Reads what [`OwnPod::written`] wrote.
    pub(crate) fn read(text: &str) -> Option<OwnPod> {
        let (name, uid) = text.split_once('/')?;
        Some(OwnPod { name: name.to_owned(), uid: uid.to_owned() })
    }

    /// True if nothing runs in it any more, for certain.
    ///
    /// # Errors
    /// The API server's; then nothing is certain.
    pub(crate) async fn is_gone(&self, client: &Client, namespace: &str) -> kube::Result<bool> {
        Ok(is_gone(pods(client, namespace).get_opt(&self.name).await?.as_ref(), &self.uid))
    }
}

fn pods(client: &Client, namespace: &str) -> Api<Pod> {
    Api::namespaced(client.clone(), namespace)
}

/// A node that is unreachable proves nothing: its pods stay, and may run.
fn is_gone(found: Option<&Pod>, uid: &str) -> bool {
    let Some(pod) = found else { return true };
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.uid().as_deref() != Some(uid) || matches!(phase, Some("Failed" | "Succeeded"))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::{OwnPod, is_gone};

    #[test]
    fn a_pod_is_gone_that_is_not_there_another_one_or_at_its_end() {
        let pod = |uid: &str, phase: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "p", "uid": uid}, "status": {"phase": phase}}))
                .unwrap()
        };
        assert!(is_gone(None, "1"));
        assert!(is_gone(Some(&pod("2", "Running")), "1"));
        assert!(is_gone(Some(&pod("1", "Failed")), "1") && is_gone(Some(&pod("1", "Succeeded")), "1"));
        for phase in ["Pending", "Running", "Unknown"] {
            assert!(!is_gone(Some(&pod("1", phase)), "1"), "{phase}");
        }
        let pod = OwnPod { name: "p".to_owned(), uid: "1".to_owned() };
        assert_eq!(OwnPod::read(&pod.written()), Some(pod));
    }
}
