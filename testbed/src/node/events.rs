//! Events: why a pod does not start, why a Service gets no address.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

/// Publishes events in the node's name.
#[derive(Clone)]
pub(super) struct Events(Recorder);

impl Events {
    /// A publisher for the node of this name.
    pub(super) fn new(client: Client, node: &str) -> Events {
        Events(Recorder::new(
            client,
            Reporter { controller: "testbed-node".into(), instance: Some(node.into()) },
        ))
    }

    /// Something that a person should know of went wrong.
    pub(super) async fn warn<K: Resource<DynamicType = ()>>(&self, object: &K, reason: &str, note: String) {
        self.publish(object, EventType::Warning, reason, note).await;
    }

    /// Something happened as it should.
    pub(super) async fn tell<K: Resource<DynamicType = ()>>(&self, object: &K, reason: &str, note: String) {
        self.publish(object, EventType::Normal, reason, note).await;
    }

    async fn publish<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        type_: EventType,
        reason: &str,
        note: String,
    ) {
        let reference: ObjectReference = object.object_ref(&());
        tracing::debug!(
            "{} {}: {reason}: {note}",
            K::kind(&()),
            reference.name.as_deref().unwrap_or_default()
        );
        let note: String = note.chars().take(900).collect();
        // The recorder takes events of one action for the same, whatever they say.
        let action = note.chars().take(128).collect();
        let event = Event { type_, reason: reason.into(), note: Some(note), action, secondary: None };
        // Events are for people: one that is lost changes nothing.
        if let Err(error) = self.0.publish(&event, &reference).await {
            tracing::debug!("an event was not taken: {error}");
        }
    }
}
