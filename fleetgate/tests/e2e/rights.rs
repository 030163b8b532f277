//! The rights that the chart grants, against the API server's audit log: none is missing, and each is used.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::Bed;

const NS: &str = "fleetgate-system";
const USER: &str = "system:serviceaccount:fleetgate-system:fleetgate";

/// All kinds that are deployed, all whose status is written, and the Lease of a replica that is no more.
const OBJECTS: &str = r#"
apiVersion: gateway.gloo.solo.io/v1alpha1
kind: GatewayParameters
metadata: {name: rights, namespace: default}
spec:
  kube:
    horizontalPodAutoscaler: {maxReplicas: 2}
    podDisruptionBudget: {maxUnavailable: 1}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: rights, namespace: default}
spec:
  gatewayClassName: fleetgate
  infrastructure: {parametersRef: {group: gateway.gloo.solo.io, kind: GatewayParameters, name: rights}}
  allowedListeners: {namespaces: {from: Same}}
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: rights, namespace: default}
spec:
  parentRef: {name: rights}
  listeners: [{name: more, port: 81, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: rights, namespace: default}
spec:
  targetRefs: [{group: "", kind: Service, name: secure}]
  validation: {hostname: a.example.com, wellKnownCACertificates: System}
---
apiVersion: v1
kind: Service
metadata: {name: secure, namespace: default}
spec: {ports: [{name: https, port: 443}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: rights, namespace: default}
spec:
  parentRefs: [{name: rights}]
  rules: [{backendRefs: [{name: secure, port: 443}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: rights, namespace: default}
spec: {parentRefs: [{name: rights}], rules: [{backendRefs: [{name: secure, port: 443}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: rights, namespace: default}
spec:
  parentRefs: [{name: rights}]
  hostnames: [a.example.com]
  rules: [{backendRefs: [{name: secure, port: 443}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: rights, namespace: default}
spec: {parentRefs: [{name: rights}], rules: [{backendRefs: [{name: secure, port: 443}]}]}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: gone, namespace: fleetgate-system, labels: {fleetgate.dev/replica: "true"}}
spec: {holderIdentity: gone}
"#;

/// Namespace (empty for all), group, resource, verb.
type Right = (String, String, String, String);

/// What is read and nothing else: listed by its watch. Only API servers that cannot do that are asked for pages.
const STREAMED: [&str; 14] = [
    "backendtlspolicies",
    "clustertrustbundles",
    "customresourcedefinitions",
    "endpointslices",
    "gatewayclasses",
    "gatewayparameters",
    "gateways",
    "grpcroutes",
    "httproutes",
    "listenersets",
    "namespaces",
    "referencegrants",
    "tcproutes",
    "tlsroutes",
];

/// A right that need not have been used.
fn is_rare((_, _, resource, verb): &Right) -> bool {
    verb == "list" && STREAMED.contains(&resource.as_str())
}

/// Uses what the flow of the charts has not used yet, and compares.
pub(crate) fn none_is_missing_or_idle(bed: &Bed) {
    use_the_rest(bed);
    let requests = bed.audit();
    let ours: Vec<&Value> = requests.iter().filter(|request| request["user"]["username"] == USER).collect();
    assert!(ours.len() > 100, "only {} requests of fleetgate are in the audit log", ours.len());
    let refused: Vec<&&Value> =
        ours.iter().filter(|request| request["responseStatus"]["code"] == 403).collect();
    assert!(refused.is_empty(), "{refused:#?}");

    let used: BTreeSet<Right> = ours.iter().flat_map(|request| exercised(request)).collect();
    let idle: Vec<Right> =
        granted(bed).into_iter().filter(|right| !used.contains(right) && !is_rare(right)).collect();
    assert!(idle.is_empty(), "granted and never used: {idle:#?}");
}

fn use_the_rest(bed: &Bed) {
    bed.shell(&format!("kubectl apply -f - <<'END'\n{OBJECTS}\nEND"));
    bed.shell(
        "kubectl wait gateway/rights listenerset/rights --for=condition=Programmed --timeout=$PATIENCE",
    );
    let until = |condition: &str| {
        let condition = condition.replace('\'', "'\\''");
        bed.shell(&format!("timeout $PATIENCE sh -c 'until {condition}; do sleep 0.2; done'"));
    };
    until(
        "kubectl get backendtlspolicy rights -o jsonpath='{.status.ancestors[*].conditions}' | grep -q Accepted",
    );
    for kind in ["grpcroute", "tlsroute", "tcproute"] {
        until(&format!(
            "kubectl get {kind} rights -o jsonpath='{{.status.parents[*].conditions}}' | grep -q Accepted"
        ));
    }
    until("kubectl get hpa,pdb gloo-proxy-rights");
    bed.shell(r#"kubectl patch gatewayparameters rights --type json -p '[{"op": "replace", "path": "/spec", "value": {"selfManaged": {}}}]'"#);
    let kinds = "deployments,services,serviceaccounts,configmaps,secrets,hpa,pdb";
    until(&format!(
        r#"[ -z "$(kubectl get {kinds} -l gateway.networking.k8s.io/gateway-name=rights -o name)" ]"#
    ));
    bed.shell("kubectl delete gateway rights; kubectl delete gatewayparameters rights");

    // A replica that does not lead speaks once it has proxies, and these choose their replica by chance.
    bed.shell(&format!("kubectl scale deployment fleetgate -n {NS} --replicas=2"));
    bed.shell(&format!("kubectl rollout status deployment fleetgate -n {NS} --timeout=$PATIENCE"));
    bed.shell("kubectl scale deployment gloo-proxy-web --replicas=2");
    until(&format!(
        "kubectl get leases -n {NS} -o name | grep -q fleetgate-replica- || \
         {{ kubectl rollout restart deployment gloo-proxy-web; kubectl rollout status deployment gloo-proxy-web; false; }}"
    ));
    until(&format!("! kubectl get lease gone -n {NS}"));
}

/// What a request took.
fn exercised(request: &Value) -> Vec<Right> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &request["objectRef"];
    let resource = match object["subresource"].as_str() {
        Some(subresource) => format!("{}/{subresource}", text(&object["resource"])),
        None => text(&object["resource"]),
    };
    let mut verbs = vec![text(&request["verb"])];
    // Server-side apply of what is not there yet.
    if verbs[0] == "patch" && request["responseStatus"]["code"] == 201 {
        verbs.push("create".to_owned());
    }
    let namespace = text(&object["namespace"]);
    let places = [String::new(), namespace];
    verbs
        .iter()
        .flat_map(|verb| {
            places
                .iter()
                .map(|place| (place.clone(), text(&object["apiGroup"]), resource.clone(), verb.clone()))
        })
        .collect()
}

/// What the roles of the chart grant.
fn granted(bed: &Bed) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for (namespace, role) in
        [("", bed.object("clusterrole fleetgate")), (NS, bed.object(&format!("role fleetgate -n {NS}")))]
    {
        for rule in role["rules"].as_array().unwrap() {
            let words = |field: &str| -> Vec<String> {
                rule[field].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
            };
            for group in words("apiGroups") {
                for resource in words("resources") {
                    for verb in words("verbs") {
                        rights.insert((namespace.to_owned(), group.clone(), resource.clone(), verb));
                    }
                }
            }
        }
    }
    rights
}
