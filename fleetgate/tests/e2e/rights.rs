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
    events_are_told(bed, &until);
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

/// What changes state is told, and what is told again is counted where it was told first.
fn events_are_told(bed: &Bed, until: &dyn Fn(&str)) {
    let events = "kubectl get events.events.k8s.io -n default -o json --field-selector regarding.name=rights";
    let has = |filter: &str| format!("{events} | grep -q '{filter}'");
    let to = |name: &str| {
        let rules = format!(r#"[{{"backendRefs": [{{"name": "{name}", "port": 443}}]}}]"#);
        bed.shell(&format!(
            "kubectl patch httproute rights --type merge -p '{{\"spec\": {{\"rules\": {rules}}}}}'"
        ));
    };
    let resolved = |status: &str| {
        until(&format!(
            "[ \"$(kubectl get httproute rights -o jsonpath='{{.status.parents[0].conditions[?(@.type==\"ResolvedRefs\")].status}}')\" = {status} ]"
        ));
    };
    until(&has("it is in effect"));
    for _ in 0..2 {
        to("missing");
        resolved("False");
        to("secure");
        resolved("True");
    }
    until(&has("\"reason\": \"BackendNotFound\""));
    until(&has("what was wrong is mended"));
    until(&has("\"series\": {"));
    let told = bed.shell("kubectl describe gateway rights");
    assert!(told.contains("Programmed") && told.contains("fleetgate.dev/gateway"), "{told}");
    until(&format!("kubectl get events.events.k8s.io -n {NS} -o json | grep -q LeaderElection"));
}

/// With `watchNamespaces` nothing is asked for elsewhere, and what is watched goes on.
pub(crate) fn some_namespaces_only(bed: &Bed) {
    bed.shell(&format!(
        "helm upgrade fleetgate ./deploy/charts/fleetgate -n {NS} --wait --timeout $PATIENCE \
         --set watchNamespaces={{default}} --set networkPolicy.enabled=true --set replicaCount=2"
    ));
    let check = format!("{} check --service-account fleetgate", env!("CARGO_BIN_EXE_fleetgate"));
    bed.shell(&format!("{check} --watch-namespaces default"));
    assert!(!bed.run(&check).status.success(), "it may do in all namespaces what it may do in some");
    let gateway = |namespace: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: some, namespace: {namespace}}}\n\
             spec: {{gatewayClassName: fleetgate, listeners: [{{name: http, port: 82, protocol: HTTP}}]}}\n---\n"
        )
    };
    bed.shell("kubectl create namespace elsewhere");
    bed.shell(&format!("kubectl apply -f - <<'END'\n{}{}\nEND", gateway("elsewhere"), gateway("default")));
    bed.shell("kubectl wait gateway/some --for=condition=Programmed --timeout=$PATIENCE");
    let elsewhere = bed.object("gateway some -n elsewhere");
    let conditions = elsewhere["status"]["conditions"].as_array().cloned().unwrap_or_default();
    assert!(conditions.iter().all(|one| one["reason"] == "Pending"), "{elsewhere}");
    // Those before the upgrade ask for what they may not any more, until they are gone.
    let pods = bed.object(&format!("pods -n {NS} -l app.kubernetes.io/name=fleetgate"));
    let pods = pods["items"].as_array().unwrap().iter().map(|pod| &pod["metadata"]);
    let pods: Vec<&Value> =
        pods.filter(|pod| pod["deletionTimestamp"].is_null()).map(|pod| &pod["name"]).collect();
    let of_pod = |request: &&Value| {
        pods.contains(&&request["user"]["extra"]["authentication.kubernetes.io/pod-name"][0])
    };
    let requests = bed.audit();
    let ours: Vec<&Value> = requests.iter().filter(of_pod).collect();
    assert!(ours.len() > 20, "only {} requests of {pods:?} are in the audit log", ours.len());
    let refused: Vec<&&Value> =
        ours.iter().filter(|request| request["responseStatus"]["code"] == 403).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    bed.shell("kubectl delete gateway some; kubectl delete namespace elsewhere");
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
    for (namespace, role) in [
        ("", bed.object("clusterrole fleetgate-fleetgate-system")),
        (NS, bed.object(&format!("role fleetgate -n {NS}"))),
    ] {
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
