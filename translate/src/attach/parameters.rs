//! What is wrong with GatewayParameters that their schema takes.

use proto::{Fault, ResourceKey};
use serde_json::{Map, Value};

use super::fault;

/// Envoy's log levels (<https://www.envoyproxy.io/docs/envoy/latest/operations/cli>); it does not start with another.
const LEVELS: [&str; 8] = ["trace", "debug", "info", "warning", "warn", "error", "critical", "off"];

/// `spec.kube` of a Gateway's GatewayParameters, merged, and where it is from.
pub(crate) struct Merged<'a> {
    pub(crate) gateway: &'a ResourceKey,
    pub(crate) kube: &'a Map<String, Value>,
    /// The uppermost last.
    pub(crate) layers: &'a [(&'a ResourceKey, &'a Map<String, Value>)],
}

/// Finds what cannot be deployed (the error), and what has no effect (the rest).
pub(crate) fn check(merged: &Merged<'_>) -> Result<Vec<Fault>, Fault> {
    merged.levels()?;
    merged.component_levels()?;
    merged.ai_image()?;
    let (istio, ai) = (merged.at(&["istio"]), merged.at(&["aiExtension"]));
    let has = |field: &str| istio.and_then(|istio| istio.get(field)).is_some_and(is_given);
    let custom = has("customSidecars");
    let has_agent = istio.and_then(|istio| istio.get("istioProxyContainer")).is_some_and(Value::is_object);
    let mut idle = Vec::new();
    if merged.at(&["sdsContainer"]).is_some_and(is_given) && !custom && !has_agent {
        let remedy = "set spec.kube.istio.istioProxyContainer ({} will do) if the proxies are part of an Istio mesh, \
                      or remove it";
        idle.push(merged.fault(&["sdsContainer"], "has no effect without Istio", remedy));
    }
    if has("istioProxyContainer") && custom {
        let problem = "has no effect: spec.kube.istio.customSidecars come in the place of that container";
        idle.push(merged.fault(&["istio", "istioProxyContainer"], problem, "remove one of the two"));
    }
    if ai.is_some_and(|ai| is_given(ai) && ai.get("enabled").is_none()) {
        let problem = "has no effect as long as it is not enabled";
        idle.push(merged.fault(
            &["aiExtension"],
            problem,
            "set enabled to true, or to false if that is meant",
        ));
    }
    Ok(idle)
}

fn is_given(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null => false,
        _ => true,
    }
}

fn find<'a>(kube: &'a Map<String, Value>, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(kube.get(*first)?, |value, field| value.get(field))
}

impl Merged<'_> {
    fn at(&self, path: &[&str]) -> Option<&Value> {
        find(self.kube, path)
    }

    /// Blames the uppermost object that has the field.
    fn fault(&self, path: &[&str], problem: impl Into<String>, remedy: impl Into<String>) -> Fault {
        let has = |(_, kube): &&(&ResourceKey, &Map<String, Value>)| find(kube, path).is_some();
        let from = self.layers.iter().rev().find(has).or_else(|| self.layers.last());
        let name = from.map(|(key, _)| key.namespaced_name()).unwrap_or_default();
        let field = format!("GatewayParameters {name} spec.kube.{}", path.join("."));
        fault(self.gateway, field, problem, remedy)
    }

    fn levels(&self) -> Result<(), Fault> {
        let path = ["envoyContainer", "bootstrap", "logLevel"];
        match self.at(&path).and_then(Value::as_str) {
            Some(level) if !LEVELS.contains(&level) => Err(self.level(&path, level)),
            _ => Ok(()),
        }
    }

    fn component_levels(&self) -> Result<(), Fault> {
        let path = ["envoyContainer", "bootstrap", "componentLogLevels"];
        for (component, level) in self.at(&path).and_then(Value::as_object).into_iter().flatten() {
            // They are written as `component:level,component:level`.
            if component.is_empty() || component.contains([':', ',', ' ']) {
                let problem = format!("has {component:?}, which is no name of a component");
                return Err(self.fault(&path, problem, "name one of Envoy's loggers, e.g. upstream"));
            }
            let level = level.as_str().unwrap_or_default();
            if !LEVELS.contains(&level) {
                return Err(self.level(&[&path[..], &[component.as_str()]].concat(), level));
            }
        }
        Ok(())
    }

    fn level(&self, path: &[&str], level: &str) -> Fault {
        self.fault(
            path,
            format!("{level:?} is no log level of Envoy"),
            format!("use one of {}", LEVELS.join(", ")),
        )
    }

    fn ai_image(&self) -> Result<(), Fault> {
        let enabled = self.at(&["aiExtension", "enabled"]) == Some(&Value::Bool(true));
        let image = self.at(&["aiExtension", "image", "repository"]).and_then(Value::as_str);
        if enabled && image.is_none_or(str::is_empty) {
            let problem = "is missing: the extension has no image of ours";
            let remedy = "name the image's repository, or do not enable the extension";
            return Err(self.fault(&["aiExtension", "image"], problem, remedy));
        }
        Ok(())
    }
}
