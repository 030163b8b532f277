//! What the Gateway API has in its experimental channel, in a cluster that has it installed.

use serde_json::{Value, json};

use crate::harness::{Authority, Bed, ECHO, ECHO_ADDRESS, certificate_secret};

/// In the bed's range of Services.
const INSIDE: [&str; 2] = ["10.96.0.77", "10.96.0.78"];

/// Addresses of every routability, of which the last cannot be had, and clients that a bundle says who they are.
fn gateway() -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: web, namespace: default}}
spec:
  gatewayClassName: fleetgate
  addresses:
  - {{}}
  - {{routability: Cluster}}
  - {{routability: Cluster, value: {}}}
  - {{routability: Cluster, value: 203.0.113.9}}
  tls: {{frontend: {{default: {{validation: {{caCertificateRefs: [
    {{group: certificates.k8s.io, kind: ClusterTrustBundle, name: 'example.com:clients:v1'}}]}}}}}}}}
  listeners:
  - {{name: http, port: 80, protocol: HTTP}}
  - {{name: https, port: 443, protocol: HTTPS, tls: {{certificateRefs: [{{name: cert}}]}}}}
---
{ECHO}",
        INSIDE[0]
    )
}

fn bundle(authority: &Authority) -> String {
    let pem: String = authority.pem().lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: certificates.k8s.io/v1\nkind: ClusterTrustBundle\nmetadata: {{name: 'example.com:clients:v1'}}\n\
         spec:\n  signerName: example.com/clients\n  trustBundle: |\n{pem}"
    )
}

fn apply(bed: &Bed, objects: &str) {
    bed.shell(&format!("kubectl apply -f - <<'END'\n{objects}\nEND"));
}

/// Waits until a shell condition holds.
fn until(bed: &Bed, condition: &str) {
    let wait = format!("until {condition}; do sleep 0.1; done").replace('\'', "'\\''");
    bed.shell(&format!("timeout $PATIENCE bash -c '{wait}'"));
}

fn patch_addresses(bed: &Bed, addresses: &Value) {
    let patch = json!({"spec": {"addresses": addresses}});
    bed.shell(&format!("kubectl patch gateway web --type merge -p '{patch}'"));
}

/// Waits for a reason of `AddressesAssigned`.
fn assigned(bed: &Bed, reason: &str) {
    let path = r#"{.status.conditions[?(@.type=="AddressesAssigned")].reason}"#;
    until(bed, &format!("[ \"$(kubectl get gateway web -o jsonpath='{path}')\" = {reason} ]"));
}

/// Values and routabilities of the addresses.
fn addresses(bed: &Bed) -> Vec<(String, Value)> {
    let gateway = bed.object("gateway web");
    let all = gateway["status"]["addresses"].as_array().cloned().unwrap_or_default();
    all.iter().map(|one| (one["value"].as_str().unwrap().to_owned(), one["routability"].clone())).collect()
}

#[test]
fn what_is_experimental_works_where_it_is_installed() {
    let Some(bed) = Bed::with_channel("experimental") else { return };
    let install = "--namespace fleetgate-system --create-namespace --wait --timeout $PATIENCE";
    bed.shell(&format!("helm install fleetgate-crds deploy/charts/fleetgate-crds {install}"));
    bed.shell(&format!("helm install fleetgate deploy/charts/fleetgate --set resources=null {install}"));
    let echo = std::path::Path::new(env!("CARGO_BIN_EXE_fleetgate")).with_file_name("echo");
    let mut echo = bed.start(&echo, &["--listen", ECHO_ADDRESS, "--name", "blue"]);
    features_are_claimed(&bed);
    let [servers, clients, others] = [Authority::new(), Authority::new(), Authority::new()];
    apply(&bed, &certificate_secret("default", "cert", &servers.issue(&["web.example.com"])));
    apply(&bed, &bundle(&clients));
    apply(&bed, &gateway());
    bed.shell("kubectl wait gateway/web --for=condition=Programmed --timeout=$PATIENCE");
    routability_is_kept_and_told(&bed);
    bundles_are_followed(&bed, &servers, &clients, &others);
    let _ = echo.kill();
    let _ = echo.wait();
}

fn features_are_claimed(bed: &Bed) {
    bed.shell("kubectl wait gatewayclass/fleetgate --for=condition=Accepted --timeout=$PATIENCE");
    let class = bed.object("gatewayclass fleetgate");
    let features = class["status"]["supportedFeatures"].as_array().unwrap();
    for feature in [
        "ClusterTrustBundle",
        "GatewayAddressRoutability",
        "GatewayAddressRoutabilityCluster",
        "GatewayListenerFilters",
    ] {
        assert!(features.contains(&json!({"name": feature})), "{feature}: {class:#}");
    }
}

fn routability_is_kept_and_told(bed: &Bed) {
    assigned(bed, "PartiallyAssigned");
    let told = addresses(bed);
    let routabilities: Vec<&Value> = told.iter().map(|(_, routability)| routability).collect();
    assert_eq!(routabilities, [&json!(""), &json!("Cluster"), &json!("Cluster")], "{told:?}");
    assert_eq!(told[2].0, INSIDE[0]);
    let second = bed.object("service gloo-proxy-web-2");
    let (kind, ip) = (&second["spec"]["type"], &second["spec"]["clusterIP"]);
    assert_eq!((kind, ip.as_str()), (&json!("ClusterIP"), Some(told[1].0.as_str())));
    for (address, _) in &told {
        until(bed, &format!("curl -sf -o /dev/null -m 5 http://{address}/"));
    }
    let condition = bed.object("gateway web")["status"]["conditions"].to_string();
    assert!(condition.contains("spec.addresses[3]") && condition.contains("203.0.113.9"), "{condition}");

    // A ClusterIP never changes: another one means another Service.
    patch_addresses(bed, &json!([{}, {"routability": "Cluster", "value": INSIDE[1]}]));
    assigned(bed, "AddressesAssigned");
    assert_eq!(addresses(bed)[1], (INSIDE[1].to_owned(), json!("Cluster")));
    until(bed, &format!("curl -sf -o /dev/null -m 5 http://{}/", INSIDE[1]));
    until(bed, "! kubectl get service gloo-proxy-web-3 2>/dev/null");

    patch_addresses(bed, &json!([{"routability": "example.com/elsewhere"}]));
    assigned(bed, "NotAssigned");
    bed.shell("kubectl wait gateway/web --for=condition=Programmed=false --timeout=$PATIENCE");
    assert_eq!(addresses(bed), []);

    patch_addresses(bed, &json!([{"routability": "testing.x-k8s.io/sentinel"}]));
    assigned(bed, "AddressesAssigned");
    assert_eq!(addresses(bed)[0].1, "testing.x-k8s.io/sentinel");
    bed.shell("kubectl wait gateway/web --for=condition=Programmed --timeout=$PATIENCE");
}

fn bundles_are_followed(bed: &Bed, servers: &Authority, clients: &Authority, others: &Authority) {
    let client = clients.issue(&["client"]);
    let file = |name: &str, text: &str| {
        let path = bed.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let ca = file("ca.pem", &servers.pem());
    let (certificate, key) =
        (file("client.pem", &client.certificate), file("client.key", &client.private_key));
    let address = addresses(bed)[0].0.clone();
    let ask = format!(
        "curl -sf -o /dev/null -m 5 --resolve web.example.com:443:{address} --cacert {ca} \
         --cert {certificate} --key {key} https://web.example.com/"
    );
    until(bed, &ask);
    apply(bed, &bundle(others));
    until(bed, &format!("! {ask}"));
    apply(bed, &bundle(clients));
    until(bed, &ask);
    bed.shell("kubectl delete clustertrustbundle example.com:clients:v1");
    until(bed, &format!("! {ask}"));
    let path = r#"{.status.listeners[1].conditions[?(@.type=="ResolvedRefs")].reason}"#;
    until(bed, &format!("[ \"$(kubectl get gateway web -o jsonpath='{path}')\" = InvalidCACertificateRef ]"));
}
