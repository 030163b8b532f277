//! A container's environment, and `$(VARIABLE)`.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};

use super::fields;
use crate::node::volumes::Sources;

/// Where programs are looked for when neither image nor container says.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The container's environment over the image's.
///
/// # Errors
/// What is missing, as a sentence.
pub(crate) fn resolve(
    pod: &Pod,
    container: &Container,
    image: &BTreeMap<String, String>,
    sources: &Sources,
) -> Result<BTreeMap<String, String>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut env = image.clone();
    env.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
    env.insert("HOSTNAME".into(), pod.metadata.name.clone().unwrap_or_default());
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let (values, missing) = if let Some(secret) = &from.secret_ref {
            let found = (sources.secret)(namespace, &secret.name);
            let missing = (found.is_none() && secret.optional != Some(true))
                .then(|| format!("secret {:?} not found", secret.name));
            (found.map(|secret| strings(secret.data.as_ref())), missing)
        } else if let Some(map) = &from.config_map_ref {
            let found = (sources.config_map)(namespace, &map.name);
            let missing = (found.is_none() && map.optional != Some(true))
                .then(|| format!("configmap {:?} not found", map.name));
            (found.map(|map| map.data.clone().unwrap_or_default()), missing)
        } else {
            continue;
        };
        if let Some(missing) = missing {
            return Err(missing);
        }
        env.extend(values.into_iter().flatten().map(|(key, value)| (format!("{prefix}{key}"), value)));
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(pod, container, variable, &env, sources)? {
            env.insert(variable.name.clone(), value);
        }
    }
    Ok(env)
}

/// The variable's value; none if it is optional and not there.
fn value(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    env: &BTreeMap<String, String>,
    sources: &Sources,
) -> Result<Option<String>, String> {
    let Some(from) = &variable.value_from else {
        return Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), env)));
    };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let (found, key, object, optional) = if let Some(secret) = &from.secret_key_ref {
        let found = (sources.secret)(namespace, &secret.name);
        let value = found.and_then(|found| strings(found.data.as_ref()).remove(&secret.key));
        (value, &secret.key, format!("secret {:?}", secret.name), secret.optional)
    } else if let Some(map) = &from.config_map_key_ref {
        let found = (sources.config_map)(namespace, &map.name);
        let value = found.and_then(|found| found.data.as_ref()?.get(&map.key).cloned());
        (value, &map.key, format!("configmap {:?}", map.name), map.optional)
    } else if let Some(field) = &from.field_ref {
        return fields::field(pod, &field.field_path).map(Some);
    } else if let Some(resource) = &from.resource_field_ref {
        let name =
            resource.container_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&container.name);
        return fields::resource(pod, name, resource).map(Some);
    } else {
        return Err(format!("the variable {:?} has a source that this node does not know", variable.name));
    };
    match found {
        None if optional != Some(true) => Err(format!("{object} with the key {key:?} not found")),
        found => Ok(found),
    }
}

fn strings(data: Option<&BTreeMap<String, ByteString>>) -> BTreeMap<String, String> {
    let text = |bytes: &ByteString| String::from_utf8_lossy(&bytes.0).into_owned();
    data.into_iter().flatten().map(|(key, bytes)| (key.clone(), text(bytes))).collect()
}

/// Replaces `$(NAME)` by the variable's value; an unknown name stays as it is, `$$` is `$`.
pub(crate) fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match env.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    #[test]
    fn expansion() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())]);
        let cases = [
            ("x$(A)y$(B)", "x1y$(A)"),
            ("$$(A) $$$(A)", "$(A) $1"),
            ("$(NONE) $A ${A} $", "$(NONE) $A ${A} $"),
            ("$(A", "$(A"),
            ("é$(A)", "é1"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, &env), expected, "{text}");
        }
    }

    fn sources() -> Sources {
        let secret = json!({ "data": { "K": "cw==" } });
        let map = json!({ "data": { "K": "c", "L": "l" } });
        Sources {
            secret: Box::new(move |_, name| {
                (name == "s").then(|| Arc::new(serde_json::from_value(secret.clone()).unwrap()))
            }),
            config_map: Box::new(move |_, name| {
                (name == "c").then(|| Arc::new(serde_json::from_value(map.clone()).unwrap()))
            }),
        }
    }

    fn env(container: serde_json::Value) -> Result<BTreeMap<String, String>, String> {
        let mut spec = json!({ "name": "c" });
        spec.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        let pod = json!({ "metadata": { "name": "p", "namespace": "ns" }, "spec": { "containers": [spec] } });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        resolve(&pod, container, &[("PATH".to_owned(), "/opt".to_owned())].into(), &sources())
    }

    #[test]
    fn sources_of_variables() {
        let all = env(json!({
            "envFrom": [{ "configMapRef": { "name": "c" } }, { "prefix": "S_", "secretRef": { "name": "s" } }],
            "env": [
                { "name": "L", "value": "$(S_K)-$(K)" },
                { "name": "POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                { "name": "X", "valueFrom": { "secretKeyRef": { "name": "s", "key": "K" } } },
                { "name": "Y", "valueFrom": { "configMapKeyRef": { "name": "n", "key": "K", "optional": true } } },
            ],
        }))
        .unwrap();
        let expected = [
            ("HOSTNAME", "p"),
            ("K", "c"),
            ("L", "s-c"),
            ("PATH", "/opt"),
            ("POD", "p"),
            ("S_K", "s"),
            ("X", "s"),
        ];
        assert_eq!(all, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn what_is_missing() {
        let error = env(json!({ "envFrom": [{ "secretRef": { "name": "n" } }] })).unwrap_err();
        assert_eq!(error, "secret \"n\" not found");
        let variable =
            json!({ "name": "Y", "valueFrom": { "configMapKeyRef": { "name": "c", "key": "Z" } } });
        let error = env(json!({ "env": [variable] })).unwrap_err();
        assert_eq!(error, "configmap \"c\" with the key \"Z\" not found");
    }
}
