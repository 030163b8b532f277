//! Objects as YAML.

use loadtest::backend::Backend;

use super::certificates::Identity;

/// A Service with one port 80 named `http`, and the ports that its endpoints have on 127.0.0.1.
pub(crate) fn service(namespace: &str, name: &str, app_protocol: &str, endpoints: &[u16]) -> String {
    let protocol =
        if app_protocol.is_empty() { String::new() } else { format!(", appProtocol: {app_protocol}") };
    let mut text = format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{ports: [{{name: http, port: 80{protocol}}}]}}\n"
    );
    // Ports belong to a slice, so each endpoint has a slice of its own.
    for port in endpoints {
        text += &format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: {name}-{port}, namespace: {namespace}, \
             labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\n\
             endpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]\n\
             ports: [{{name: http, port: {port}, protocol: TCP}}]\n"
        );
    }
    text
}

/// A Service with one backend.
pub(crate) fn backend_service(namespace: &str, name: &str, backend: &Backend) -> String {
    service(namespace, name, "", &[backend.addr.port()])
}

/// A Gateway of our class with listeners in YAML's flow style, one a line.
pub(crate) fn gateway(namespace: &str, name: &str, listeners: &[String]) -> String {
    let listeners: String = listeners.iter().map(|listener| format!("    - {listener}\n")).collect();
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
         metadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  gatewayClassName: fleetgate\n  listeners:\n{listeners}"
    )
}

/// A Secret of type kubernetes.io/tls.
pub(crate) fn certificate_secret(namespace: &str, name: &str, identity: &Identity) -> String {
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         type: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        indent(&identity.certificate, 4),
        indent(&identity.private_key, 4)
    )
}

/// Text moved to the right.
pub(crate) fn indent(text: &str, by: usize) -> String {
    let space = " ".repeat(by);
    text.lines().map(|line| if line.is_empty() { "\n".into() } else { format!("{space}{line}\n") }).collect()
}
