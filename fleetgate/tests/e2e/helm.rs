//! The charts in a real cluster: installed, checked, used, upgraded, rolled back and removed.

use std::path::Path;

use serde_json::Value;

use crate::harness::Bed;
use crate::rights;

const NS: &str = "-n fleetgate-system";

/// `spec` of GatewayParameters, and what the API server says of it.
const REFUSED: [(&str, &str); 8] = [
    ("{kube: {}, selfManaged: {}}", "only one of 'kube' or 'selfManaged' may be set"),
    ("{kube: {replicas: 2}}", "unknown field \"spec.kube.replicas\""),
    ("{kube: {deployment: {replicas: -1}}}", "greater than or equal to 0"),
    ("{kube: {service: {type: Any}}}", "Unsupported value"),
    ("{kube: {envoyContainer: {bootstrap: {componentLogLevels: {\"\": debug}}}}}", "may not be empty"),
    ("{kube: {envoyContainer: {resources: {limits: {cpu: one}}}}}", "should match"),
    (
        "{kube: {horizontalPodAutoscaler: {minReplicas: 3, maxReplicas: 2}}}",
        "may not be more than maxReplicas",
    ),
    ("{kube: {podDisruptionBudget: {minAvailable: 1, maxUnavailable: 10%}}}", "only one of 'minAvailable'"),
];

/// One of each kind of field.
const TAKEN: &str = "
kube:
  deployment: {replicas: 2}
  envoyContainer:
    image: {registry: r, repository: e, tag: \"1\", digest: sha256:0, pullPolicy: Always}
    bootstrap: {logLevel: debug, componentLogLevels: {upstream: debug}}
    resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 100m}}
    securityContext: {runAsUser: 5, capabilities: {add: [A], drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}
  sdsContainer: {image: {tag: a}, bootstrap: {logLevel: info}}
  istio:
    istioProxyContainer: {logLevel: warning, istioDiscoveryAddress: 'a:1', istioMetaMeshId: m, istioMetaClusterId: c}
    customSidecars: [{name: a, image: b, args: [c]}]
  podTemplate:
    extraLabels: {a: b}
    extraAnnotations: {a: b}
    securityContext: {fsGroup: 5, sysctls: [{name: a, value: b}]}
    imagePullSecrets: [{name: a}]
    nodeSelector: {a: b}
    affinity:
      nodeAffinity:
        requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}
      podAntiAffinity:
        preferredDuringSchedulingIgnoredDuringExecution:
        - {weight: 1, podAffinityTerm: {topologyKey: a, labelSelector: {matchLabels: {a: b}}}}
    tolerations: [{key: a, operator: Exists}]
    gracefulShutdown: {enabled: true, sleepTimeSeconds: 5}
    terminationGracePeriodSeconds: 5
    readinessProbe: {httpGet: {path: /envoy-hc, port: 8082}, periodSeconds: 5}
    livenessProbe: {exec: {command: [a]}}
  service: {type: NodePort, clusterIP: None, extraLabels: {a: b}, extraAnnotations: {a: b}}
  serviceAccount: {extraLabels: {a: b}, extraAnnotations: {a: b}}
  stats: {enabled: true, routePrefixRewrite: /a, enableStatsRoute: false, statsRoutePrefixRewrite: /b}
  aiExtension:
    enabled: true
    env: [{name: A, valueFrom: {secretKeyRef: {name: a, key: b}}}]
    ports: [{containerPort: 1}]
    stats: {customLabels: [{name: a, metadataNamespace: c, metadataKey: b, keyDelimiter: '.'}]}
  floatingUserId: true
  horizontalPodAutoscaler:
    minReplicas: 1
    maxReplicas: 3
    metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
    behavior: {scaleDown: {stabilizationWindowSeconds: 5}}
  podDisruptionBudget: {maxUnavailable: 25%}
";

#[test]
fn charts_are_installed_used_upgraded_rolled_back_and_removed() {
    let Some(bed) = Bed::with_audit() else { return };
    // Where nothing may run that is not hardened.
    bed.shell("kubectl create namespace fleetgate-system");
    bed.shell("kubectl label namespace fleetgate-system pod-security.kubernetes.io/enforce=restricted");
    bed.shell(&format!("helm install fleetgate-crds ./deploy/charts/fleetgate-crds {NS} --wait"));
    let install = |verb: &str, more: &str| {
        bed.shell(&format!(
            "helm {verb} fleetgate ./deploy/charts/fleetgate {NS} --wait --timeout $PATIENCE {more}"
        ))
    };
    let notes = install("install", "");
    assert!(notes.contains("check --namespace fleetgate-system --service-account fleetgate"), "{notes}");
    the_cluster_is_well(&bed);
    parameters_are_validated(&bed);
    goldens_are_valid(&bed);

    let echo = Path::new(env!("CARGO_BIN_EXE_fleetgate")).with_file_name("echo");
    let mut echo = bed.start(&echo, &["--listen", "10.64.0.1:18081", "--name", "blue"]);
    bed.shell("kubectl apply -f examples/kubernetes/echo.yaml");
    bed.shell("kubectl wait gateway/web --for=condition=Programmed --timeout=$PATIENCE");
    bed.shell("kubectl rollout status deployment/gloo-proxy-web --timeout=$PATIENCE");
    let address = bed.object("gateway web")["status"]["addresses"][0]["value"].as_str().unwrap().to_owned();
    let get = format!("curl -s -o /dev/null -m 60 -w '%{{http_code}}\\n' http://{address}:10080/hello");
    let until = |status: u16, more: &str| {
        bed.shell(&format!(
            "timeout $PATIENCE sh -c \"until [ \\$({get} {more}) = {status} ]; do sleep 0.1; done\""
        ));
    };
    until(200, "");

    // Not one request fails while the control plane is another one, and then again the first.
    let change = format!(
        "helm upgrade fleetgate ./deploy/charts/fleetgate {NS} --wait --timeout $PATIENCE --set logLevel=debug >&2; \
         helm rollback fleetgate 1 {NS} --wait --timeout $PATIENCE >&2"
    );
    let answers = bed.shell(&format!(
        "(while [ ! -e /tmp/stop ]; do {get}; sleep 0.02; done) & {change}; touch /tmp/stop; wait; rm /tmp/stop"
    ));
    let wrong: Vec<&str> = answers.lines().filter(|answer| *answer != "200").collect();
    assert!(answers.lines().count() > 20 && wrong.is_empty(), "{wrong:?} of {}", answers.lines().count());
    let history: Value =
        serde_json::from_str(&bed.shell(&format!("helm history fleetgate {NS} -o json"))).unwrap();
    assert_eq!(history[2]["description"], "Rollback to 1", "{history}");
    the_cluster_is_well(&bed);
    rights::none_is_missing_or_idle(&bed);
    bed.shell(r#"kubectl patch httproute echo --type merge -p '{"spec": {"hostnames": ["a.example.com"]}}'"#);
    until(404, "");
    until(200, "-H Host:a.example.com");
    rights::some_namespaces_only(&bed);
    until(200, "-H Host:a.example.com");

    let _ = echo.kill();
    let _ = echo.wait();
    bed.shell(&format!("helm uninstall fleetgate {NS} --wait; helm uninstall fleetgate-crds {NS} --wait"));
    assert!(!bed.run("kubectl get clusterrole fleetgate-fleetgate-system").status.success());
    bed.shell("kubectl get gatewayclass fleetgate");
    bed.shell("kubectl get crd gatewayparameters.gateway.gloo.solo.io");
    bed.shell(&format!("kubectl get secret fleetgate-xds-ca {NS}"));
}

/// `fleetgate check` finds nothing, and finds what is amiss for an account without rights.
fn the_cluster_is_well(bed: &Bed) {
    let check = format!("{} check -o json --service-account", env!("CARGO_BIN_EXE_fleetgate"));
    let told: Value = serde_json::from_str(&bed.shell(&format!("{check} fleetgate"))).unwrap();
    let checks = told["checks"].as_array().unwrap();
    let amiss: Vec<&Value> = checks.iter().filter(|check| check["state"] != "OK").collect();
    assert!(told["ok"] == true && checks.len() > 20 && amiss.is_empty(), "{amiss:#?}");
    let refused = bed.run(&format!("{check} default"));
    assert_eq!(refused.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&refused.stdout).unwrap();
    let checks = told["checks"].as_array().unwrap();
    let failed = checks.iter().find(|check| check["state"] == "FAIL").unwrap();
    assert!(failed["remedy"].as_str().unwrap().contains("fleetgate-system/default"), "{failed}");
}

/// What other values give is taken by the API server, too.
fn goldens_are_valid(bed: &Bed) {
    bed.shell("for namespace in infra team-a team-b; do kubectl create namespace $namespace; done");
    for set in ["default", "minimal", "persistent", "full", "namespaces"] {
        // Some are for namespaces of their own.
        let apply = "kubectl apply --dry-run=server --validate=strict -f";
        let output = bed.run(&format!("{apply} deploy/tests/{set}.golden.yaml"));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        // Of the Prometheus operator, which is not there.
        let ours = told.lines().filter(|line| {
            !line.starts_with("Warning: ")
                && !line.contains("ServiceMonitor")
                && !line.contains("ensure CRDs")
        });
        assert_eq!(ours.collect::<Vec<_>>(), [""; 0], "{set}");
        let applied = String::from_utf8_lossy(&output.stdout);
        assert!(applied.contains("deployment.apps/"), "{set}: {applied}");
    }
    for (path, golden) in proxies() {
        let deployment = bed.path().join("deployment.json");
        // The version, which is no part of a golden.
        let text = golden["Deployment gloo-proxy-web"].to_string().replace("(ours)", "0");
        std::fs::write(&deployment, text).unwrap();
        let output =
            bed.run(&format!("kubectl apply --dry-run=server --validate=strict -f {}", deployment.display()));
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Goldens of what is deployed for Gateways.
fn proxies() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/proxies");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let goldens = paths.filter(|path| path.to_string_lossy().ends_with(".golden.json"));
    goldens
        .map(|path| {
            let golden = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            (path.display().to_string(), golden)
        })
        .collect()
}

fn parameters_are_validated(bed: &Bed) {
    let apply = |spec: &str| {
        let head =
            "apiVersion: gateway.gloo.solo.io/v1alpha1\nkind: GatewayParameters\nmetadata: {name: tried}";
        bed.run(&format!("kubectl apply --dry-run=server -f - <<'END'\n{head}\nspec: {spec}\nEND"))
    };
    for (spec, problem) in REFUSED {
        let output = apply(spec);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(problem), "{spec}: {told}");
    }
    for spec in [TAKEN.replace('\n', "\n  ").as_str(), "{}", "{selfManaged: {}}"] {
        let output = apply(spec);
        assert!(output.status.success(), "{spec}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
