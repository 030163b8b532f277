//! The objects of a Gateway's proxies: a pure function of what they are made of.

mod ai;
mod container;
mod deployment;
mod drain;
mod envoy;
mod istio;
mod scaling;
mod service;
mod startup;

use std::collections::BTreeMap;

use proto::{ProxySpec, ResourceKey};
use serde_json::{Value, json};

use super::identity::Identity;
use super::owned::What;
use super::parameters::{Extra, Parameters};
use super::{Settings, bootstrap, names};

/// One object to apply.
#[derive(Clone, Debug)]
pub(super) struct Rendered {
    pub(super) what: What,
    pub(super) name: String,
    pub(super) object: Value,
}

impl Rendered {
    /// True for a Service that is reached by a certain ClusterIP, and by nothing else.
    pub(super) fn wants_cluster_ip(&self) -> bool {
        let spec = &self.object["spec"];
        self.what == What::Service && spec["type"] == "ClusterIP" && spec["clusterIP"].is_string()
    }
}

/// All that objects are made of.
pub(super) struct Ingredients<'a> {
    pub(super) gateway: &'a ResourceKey,
    /// `metadata.uid` of the Gateway.
    pub(super) uid: &'a str,
    pub(super) spec: &'a ProxySpec,
    pub(super) parameters: &'a Parameters,
    pub(super) settings: &'a Settings,
    pub(super) identity: &'a Identity,
}

/// Renders them in the order in which they are needed.
pub(super) fn render(from: &Ingredients<'_>) -> Vec<Rendered> {
    let config = from.config_map();
    let stats = ai::stats(from);
    let hash = hash([Some(&config), stats.as_ref().map(|(_, stats)| stats)].into_iter().flatten());
    let name = names::proxy(from.gateway);
    let mut all = vec![
        (What::ServiceAccount, name.clone(), from.service_account()),
        (What::Secret, name.clone(), from.secret()),
        (What::ConfigMap, name.clone(), config),
    ];
    all.extend(stats.map(|(name, stats)| (What::ConfigMap, name, stats)));
    let services = service::services(from).into_iter();
    all.extend(services.map(|(name, service)| (What::Service, name, service)));
    all.push((What::Deployment, name.clone(), deployment::deployment(from, &hash)));
    all.extend(scaling::autoscaler(from).map(|object| (What::HorizontalPodAutoscaler, name.clone(), object)));
    all.extend(scaling::budget(from).map(|object| (What::PodDisruptionBudget, name, object)));
    all.into_iter().map(|(what, name, object)| Rendered { what, name, object }).collect()
}

/// Another one if the content of a ConfigMap is.
fn hash<'a>(configs: impl Iterator<Item = &'a Value>) -> String {
    let data: String = configs.map(|config| config["data"].to_string()).collect();
    blake3::hash(data.as_bytes()).to_hex()[..16].to_owned()
}

impl Ingredients<'_> {
    /// An object with the metadata that all have.
    fn object(
        &self,
        what: What,
        name: &str,
        extra: (&BTreeMap<String, String>, &BTreeMap<String, String>),
    ) -> Value {
        let (mut labels, mut annotations) = (extra.0.clone(), names::annotations(self.spec));
        labels.extend(names::labels(self.gateway, self.spec, self.settings));
        labels.insert("app.kubernetes.io/version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        annotations.extend(extra.1.clone());
        let api = what.api();
        json!({
            "apiVersion": api.api_version,
            "kind": api.kind,
            "metadata": {
                "name": name,
                "namespace": self.gateway.namespace.as_str(),
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": [{
                    "apiVersion": "gateway.networking.k8s.io/v1",
                    "kind": "Gateway",
                    "name": self.gateway.name.as_str(),
                    "uid": self.uid,
                    "controller": true,
                }],
            },
        })
    }

    fn plain(&self, what: What) -> Value {
        self.named(what, &names::proxy(self.gateway))
    }

    fn named(&self, what: What, name: &str) -> Value {
        let none = BTreeMap::new();
        self.object(what, name, (&none, &none))
    }

    fn service_account(&self) -> Value {
        let Extra { extra_labels, extra_annotations } = &self.parameters.service_account;
        let name = names::proxy(self.gateway);
        let mut object = self.object(What::ServiceAccount, &name, (extra_labels, extra_annotations));
        object["automountServiceAccountToken"] = false.into();
        object
    }

    fn secret(&self) -> Value {
        let mut object = self.plain(What::Secret);
        object["type"] = super::identity::SECRET_TYPE.into();
        object["data"] = self.identity.data();
        object
    }

    fn config_map(&self) -> Value {
        let files = bootstrap::files(self.gateway, self.settings, self.parameters);
        let mut object = self.plain(What::ConfigMap);
        let text = |(name, content): (&str, Value)| (name.to_owned(), Value::String(content.to_string()));
        object["data"] = Value::Object(files.into_iter().map(text).collect());
        object
    }
}

#[cfg(test)]
mod tests;
