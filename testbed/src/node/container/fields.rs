//! Values of the downward API.

use k8s_openapi::api::core::v1::{Pod, ResourceFieldSelector};

/// The value of a `fieldRef`.
///
/// # Errors
/// A sentence: the downward API has no such field.
pub(crate) fn field(pod: &Pod, path: &str) -> Result<String, String> {
    let (meta, spec, status) = (&pod.metadata, pod.spec.as_ref(), pod.status.as_ref());
    let value = match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => Some(lines(meta.labels.as_ref())),
        "metadata.annotations" => Some(lines(meta.annotations.as_ref())),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.podIP" | "status.podIPs" => status.and_then(|status| status.pod_ip.clone()),
        "status.hostIP" | "status.hostIPs" => status.and_then(|status| status.host_ip.clone()),
        _ => {
            let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']");
            let map = if let Some(key) = keyed("metadata.labels['") {
                meta.labels.as_ref().map(|map| (key, map))
            } else if let Some(key) = keyed("metadata.annotations['") {
                meta.annotations.as_ref().map(|map| (key, map))
            } else {
                return Err(format!("the downward API has no field {path:?}"));
            };
            map.and_then(|(key, map)| map.get(key).cloned())
        }
    };
    Ok(value.unwrap_or_default())
}

fn lines(map: Option<&std::collections::BTreeMap<String, String>>) -> String {
    let lines: Vec<_> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

/// The value of a `resourceFieldRef`: the limit or request over the divisor, rounded up. Without a limit, the machine.
///
/// # Errors
/// A sentence: no such container, or the divisor is no quantity.
pub(crate) fn resource(
    pod: &Pod,
    container: &str,
    selector: &ResourceFieldSelector,
) -> Result<String, String> {
    let mut containers =
        pod.spec.iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let found = containers
        .find(|c| c.name == container)
        .ok_or_else(|| format!("the downward API finds no container {container:?}"))?;
    let (kind, name) = selector.resource.split_once('.').unwrap_or(("limits", &selector.resource));
    let resources = found.resources.as_ref();
    let map = match kind {
        "requests" => resources.and_then(|resources| resources.requests.as_ref()),
        _ => resources.and_then(|resources| resources.limits.as_ref()),
    };
    let amount = match map.and_then(|map| map.get(name)) {
        Some(quantity) => parse(&quantity.0)?,
        None if kind == "requests" => 0.0,
        None if name == "cpu" => std::thread::available_parallelism().map_or(1, usize::from) as f64,
        None => 1024.0 * 1024.0 * 1024.0,
    };
    let divisor = match selector.divisor.as_ref().map(|divisor| divisor.0.as_str()) {
        None | Some("" | "0") => 1.0,
        Some(text) => parse(text)?,
    };
    // The sum with zero takes the sign off a negative zero.
    Ok(format!("{:.0}", (amount / divisor - 1e-9).ceil().max(0.0) + 0.0))
}

/// A quantity such as `250m`, `1Gi`, `2`.
fn parse(text: &str) -> Result<f64, String> {
    let digits =
        text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let factor = match suffix {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(format!("{text:?} is no quantity")),
    };
    number.parse::<f64>().map(|number| number * factor).map_err(|_| format!("{text:?} is no quantity"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "p", "labels": { "app.io/x": "1" }, "annotations": { "a": "q\"" } },
            "spec": {
                "nodeName": "node-1",
                "containers": [{ "name": "c", "resources": { "limits": { "cpu": "1500m", "memory": "64Mi" } } }],
            },
            "status": { "podIP": "10.0.0.2" },
        }))
        .unwrap()
    }

    #[test]
    fn fields() {
        let get = |path| field(&pod(), path);
        assert_eq!(get("metadata.name").unwrap(), "p");
        assert_eq!(get("metadata.labels['app.io/x']").unwrap(), "1");
        assert_eq!(get("metadata.labels['none']").unwrap(), "");
        assert_eq!(get("metadata.annotations").unwrap(), "a=\"q\\\"\"");
        assert_eq!(get("status.podIP").unwrap(), "10.0.0.2");
        assert_eq!(get("spec.nodeName").unwrap(), "node-1");
        assert!(get("spec.x").unwrap_err().contains("\"spec.x\""));
    }

    #[test]
    fn resources() {
        let get = |resource: &str, divisor: &str| {
            let selector = json!({ "resource": resource, "divisor": divisor });
            super::resource(&pod(), "c", &serde_json::from_value(selector).unwrap())
        };
        assert_eq!(get("limits.cpu", "1").unwrap(), "2");
        assert_eq!(get("limits.cpu", "1m").unwrap(), "1500");
        assert_eq!(get("limits.memory", "1Mi").unwrap(), "64");
        assert_eq!(get("limits.memory", "0").unwrap(), "67108864");
        assert_eq!(get("requests.memory", "1").unwrap(), "0");
        assert!(get("limits.memory", "x").is_err());
    }
}
