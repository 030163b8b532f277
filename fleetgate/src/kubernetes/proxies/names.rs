//! Names and labels of what is deployed, as k8sgateway 1.18 has them.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::DynamicObject;
use proto::{ProxySpec, ResourceKey};
use serde_json::{Value, json};

use super::Settings;

/// Longest name of a Service, and longest value of a label.
const LONGEST: usize = 63;
/// Label that every object of a proxy has, from the Gateway API.
pub(super) const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// Label by which our objects are found.
pub(super) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "fleetgate");
/// Label that tells objects of an installation with a `controllerName` of its own.
const CONTROLLER: &str = "fleetgate.dev/controller-name";

/// A text that fits; a longer one is cut and ends in a hash of the whole.
pub(super) fn fit(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let kept = text.get(..LONGEST - 9).unwrap_or_default().trim_end_matches(['-', '.', '_']);
    format!("{kept}-{}", &hash.as_str()[..8])
}

/// Name of all objects of a Gateway's proxies.
pub(super) fn proxy(gateway: &ResourceKey) -> String {
    // A Gateway's name may have dots, a Service's must not.
    let name = format!("gloo-proxy-{}", gateway.name);
    if name.contains('.') {
        let hash = blake3::hash(name.as_bytes()).to_hex();
        return fit(&format!("{}-{}", name.replace('.', "-"), &hash.as_str()[..8]));
    }
    fit(&name)
}

/// Name of the Service for an entry of `spec.addresses`.
pub(super) fn service(gateway: &ResourceKey, index: usize) -> String {
    let name = proxy(gateway);
    if index == 0 { name } else { fit(&format!("{name}-{}", index + 1)) }
}

/// Name of a Service's port: a listener's, as far as Services allow it.
pub(super) fn port(listener: &str) -> String {
    let name = fit(listener);
    if name.contains('.') { name.replace('.', "-") } else { name }
}

/// Labels by which the pods of a Gateway are selected; they never change.
pub(super) fn selector(gateway: &ResourceKey) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", proxy(gateway)),
        ("app.kubernetes.io/instance", fit(&gateway.name)),
        (GATEWAY_NAME, fit(&gateway.name)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Labels of every object; the Gateway's own (`spec.infrastructure`) are among them, but cannot replace those by which
/// objects are found.
pub(super) fn labels(
    gateway: &ResourceKey,
    spec: &ProxySpec,
    settings: &Settings,
) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = [("gloo".to_owned(), "kube-gateway".to_owned())].into();
    labels.extend(spec.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    labels.extend(selector(gateway));
    labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    labels.remove(CONTROLLER);
    labels.extend(settings.installation.iter().map(|name| (CONTROLLER.to_owned(), name.clone())));
    labels
}

/// Selects the objects of this installation and of no other.
pub(super) fn all_of(settings: &Settings) -> String {
    let installation = match &settings.installation {
        Some(name) => format!("{CONTROLLER}={name}"),
        None => format!("!{CONTROLLER}"),
    };
    format!("{}={},{GATEWAY_NAME},{installation}", MANAGED_BY.0, MANAGED_BY.1)
}

/// The installation whose an object is: none for the default one.
pub(super) fn installation(object: &DynamicObject) -> Option<&str> {
    object.labels().get(CONTROLLER).map(String::as_str)
}

/// Takes away what makes an object another installation's. (What this one applies says nothing of a label that it does
/// not have.)
pub(super) fn without_installation() -> Value {
    json!({"metadata": {"labels": {CONTROLLER: null}}})
}

/// Annotations of every object.
pub(super) fn annotations(spec: &ProxySpec) -> BTreeMap<String, String> {
    spec.annotations.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use proto::{Kind, ResourceKey};

    #[test]
    fn long_and_dotted_names_fit_and_stay_apart() {
        let name = |name: &str| super::proxy(&ResourceKey::local(Kind::GATEWAY, "default", name));
        assert_eq!(name("web"), "gloo-proxy-web");
        let long = name(&"a".repeat(253));
        assert_eq!(long.len(), 63);
        assert_ne!(long, name(&"a".repeat(252)));
        assert_ne!(name("a.b"), name("a-b"));
        assert!(!name("a.b").contains('.'));
        assert_eq!(super::port("https.a"), "https-a");
    }
}
