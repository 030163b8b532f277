//! Variables by which every container finds the API server.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;

/// Those of the Service `kubernetes`; of other Services there are none.
///
/// # Errors
/// It is not known yet.
pub(crate) fn api_server(service: Option<&Service>) -> Result<BTreeMap<String, String>, String> {
    let spec = service.and_then(|service| service.spec.as_ref());
    let address = spec.and_then(|spec| spec.cluster_ip.clone());
    let port = spec.and_then(|spec| Some(spec.ports.as_ref()?.first()?.port.to_string()));
    let (Some(address), Some(port)) = (address, port) else {
        return Err("the Service default/kubernetes is not known yet".to_owned());
    };
    let variables = [
        ("KUBERNETES_SERVICE_HOST", address.clone()),
        ("KUBERNETES_SERVICE_PORT", port.clone()),
        ("KUBERNETES_SERVICE_PORT_HTTPS", port.clone()),
        ("KUBERNETES_PORT", format!("tcp://{address}:{port}")),
    ];
    Ok(variables.map(|(name, value)| (name.to_owned(), value)).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn the_api_server_is_found_by_variables() {
        let service = json!({"spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 443}]}});
        let variables = super::api_server(serde_json::from_value(service).ok().as_ref()).unwrap();
        assert_eq!(variables["KUBERNETES_SERVICE_HOST"], "10.96.0.1");
        assert_eq!(variables["KUBERNETES_SERVICE_PORT"], "443");
        assert!(super::api_server(None).is_err());
    }
}
