//! What all containers of a pod have in common.

use k8s_openapi::api::core::v1::{ResourceRequirements, SecurityContext};
use serde_json::{Map, Value, json};

use crate::kubernetes::proxies::parameters::Image;

/// The user of all containers: one reads files that another one has written.
pub(super) const USER: u32 = 10101;

/// No more rights than a process needs that only listens and speaks.
pub(super) fn hardened() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "runAsUser": USER,
        "capabilities": {"drop": ["ALL"]},
    })
}

/// A variable with a field of the pod.
pub(super) fn field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}})
}

/// Puts what is given in the place of what was made.
pub(super) fn overlay<const N: usize>(made: &mut Value, given: [(&str, Option<Value>); N]) {
    let fields = given.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?)));
    if let Some(made) = made.as_object_mut() {
        made.extend(fields.collect::<Map<String, Value>>());
    }
}

/// What users say of any container.
pub(super) fn given(
    made: &mut Value,
    image: &Image,
    security_context: Option<&SecurityContext>,
    resources: Option<&ResourceRequirements>,
) {
    overlay(
        made,
        [
            ("imagePullPolicy", image.pull_policy.as_ref().map(|value| json!(value))),
            ("securityContext", security_context.map(|value| json!(value))),
            ("resources", resources.map(|value| json!(value))),
        ],
    );
}
