//! Two replicas of the control plane: both serve xDS, one writes statuses and deploys.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{Bed, PATIENCE};

const NS: &str = "-n fleetgate-system";
/// With these many Gateways, hardly ever all their proxies are connected to the replica that leads.
const GATEWAYS: usize = 5;

fn gateway(number: usize) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: g{number}, namespace: default}}\n\
         spec: {{gatewayClassName: fleetgate, listeners: [{{name: http, port: 80, protocol: HTTP}}]}}\n---\n"
    )
}

/// The pod that leads.
fn leader(bed: &Bed) -> String {
    let holder = bed.shell(&format!(
        "for i in $(seq 300); do h=$(kubectl get lease fleetgate {NS} -o jsonpath='{{.spec.holderIdentity}}'); \
         [ -n \"$h\" ] && echo $h && exit; sleep 0.1; done; exit 1"
    ));
    holder.trim().rsplit_once('_').unwrap().0.to_owned()
}

#[test]
fn one_of_two_replicas_leads_and_the_other_takes_over() {
    let Some(bed) = Bed::up() else { return };
    bed.shell(&format!(
        "helm install fleetgate-crds ./deploy/charts/fleetgate-crds {NS} --create-namespace --wait"
    ));
    bed.shell(&format!(
        "helm install fleetgate ./deploy/charts/fleetgate {NS} --wait --timeout $PATIENCE --set replicaCount=2"
    ));
    let all: String = (0..GATEWAYS).map(gateway).collect();
    bed.shell(&format!("kubectl apply -f - <<'END'\n{all}END"));
    bed.shell("kubectl wait gateway --all --for=condition=Programmed --timeout=$PATIENCE");
    each_replica_answers_for_all(&bed);
    // Both replicas have proxies, or it shows nothing: connected ones are told by each itself.
    let first = leader(&bed);
    bed.shell(&format!("kubectl delete pod {first} {NS} --wait=true"));
    let second = leader(&bed);
    assert_ne!(first, second);
    let listeners = r#"[{"op": "add", "path": "/spec/listeners/-", "value": {"name": "more", "port": 81, "protocol": "HTTP"}}]"#;
    for number in 0..GATEWAYS {
        bed.shell(&format!("kubectl patch gateway g{number} --type json -p '{listeners}'"));
        let programmed = format!(
            "kubectl get gateway g{number} -o jsonpath='{{.status.conditions[?(@.type==\"Programmed\")].status}} \
             {{.status.conditions[?(@.type==\"Programmed\")].observedGeneration}}'"
        );
        bed.shell(&format!("for i in $(seq 600); do [ \"$({programmed})\" = 'True 2' ] && exit; sleep 0.1; done; {programmed}; exit 1"));
    }
    a_leader_that_is_gone_is_not_waited_for(&bed);
    a_gateway_that_moved_away_meanwhile_keeps_nothing(&bed);
}

/// A route that every Envoy refuses: a program of that regular expression is larger than Envoy lets it be.
fn refused(number: usize) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: bad{number}, namespace: default}}\n\
         spec:\n  parentRefs: [{{name: g{number}}}]\n  rules:\n  \
         - matches: [{{path: {{type: RegularExpression, value: '/a{{1001}}'}}}}]\n---\n"
    )
}

/// Whichever pod is asked, by port-forward, it shows the proxies of both and what any of them refuses.
fn each_replica_answers_for_all(bed: &Bed) {
    let all: String = (0..GATEWAYS).map(refused).collect();
    bed.shell(&format!("kubectl apply -f - <<'END'\n{all}END"));
    // Statuses are written by one replica, and the proxies of some Gateway have told the other.
    for number in 0..GATEWAYS {
        let accepted = format!(
            "kubectl get httproute bad{number} -o jsonpath='{{.status.parents[0].conditions[?(@.type==\"Accepted\")].status}}'"
        );
        bed.shell(&format!("for i in $(seq 600); do [ \"$({accepted})\" = False ] && exit; sleep 0.1; done; {accepted}; exit 1"));
    }
    let pods = bed.shell(&format!(
        "kubectl get pods {NS} -l app.kubernetes.io/name=fleetgate -o jsonpath='{{.items[*].metadata.name}}'"
    ));
    let pods: Vec<&str> = pods.split_whitespace().collect();
    assert_eq!(pods.len(), 2, "{pods:?}");
    for what in ["gateways", "routes", "proxies"] {
        let mut answers: Vec<Value> = Vec::new();
        // A revision that is ACKed between two questions is another answer.
        for _ in 0..60 {
            answers = pods.iter().map(|pod| get(bed, what, pod)).collect();
            if answers[0] == answers[1] {
                break;
            }
        }
        assert_eq!(answers[0], answers[1], "{what}");
        let items = answers[0]["items"].as_array().unwrap();
        let told: BTreeSet<&str> = answers[0]["replicas"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["name"].as_str())
            .collect();
        assert_eq!(told, pods.iter().copied().collect(), "{}", answers[0]);
        match what {
            "proxies" => {
                let of: BTreeSet<&str> = items.iter().filter_map(|one| one["gateway"].as_str()).collect();
                assert_eq!(of.len(), GATEWAYS, "{items:?}");
                assert!(
                    items.iter().all(|one| pods.contains(&one["replica"].as_str().unwrap())),
                    "{items:?}"
                );
            }
            _ => assert_eq!(items.len(), GATEWAYS, "{items:?}"),
        }
    }
    one_that_does_not_answer_is_named(bed, pods[0]);
    let fleetgate = env!("CARGO_BIN_EXE_fleetgate");
    let table = bed.shell(&format!("{fleetgate} get gateways --kubernetes --kubeconfig $KUBECONFIG"));
    assert!(table.contains("g0") && table.contains("192.0.2."), "{table}");
    let log = bed.shell(&format!("{fleetgate} log --kubernetes --pod {}", pods[1]));
    assert!(log.contains("HTTPRoute default/bad0"), "{log}");
    let nobody = bed.run(&format!("{fleetgate} get gateways --kubernetes --namespace default"));
    let told = String::from_utf8_lossy(&nobody.stderr);
    assert!(
        nobody.status.code() == Some(1) && told.contains("no pod of fleetgate in namespace default"),
        "{told}"
    );
    let bad: String = (0..GATEWAYS).map(|number| format!(" bad{number}")).collect();
    bed.shell(&format!("kubectl delete httproute{bad}"));
}

fn get(bed: &Bed, what: &str, pod: &str) -> Value {
    let fleetgate = env!("CARGO_BIN_EXE_fleetgate");
    let told = bed.shell(&format!("{fleetgate} get {what} -o json --kubernetes --pod {pod}"));
    serde_json::from_str(&told).unwrap()
}

/// There is a Lease of a replica that is gone.
fn one_that_does_not_answer_is_named(bed: &Bed, pod: &str) {
    bed.shell(&format!(
        "kubectl apply {NS} -f - <<'END'\napiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata:\n  \
         name: fleetgate-replica-ghost\n  labels: {{fleetgate.dev/replica: \"true\"}}\n  \
         annotations: {{fleetgate.dev/address: \"10.64.0.1:9\"}}\nspec: {{holderIdentity: ghost_1}}\nEND"
    ));
    let fleetgate = env!("CARGO_BIN_EXE_fleetgate");
    bed.shell(&format!(
        "for i in $(seq 100); do {fleetgate} get proxies --kubernetes --pod {pod} | grep -q 'replica ghost does not answer' && \
         exit; sleep 0.1; done; {fleetgate} get proxies --kubernetes --pod {pod}; exit 1"
    ));
    bed.shell(&format!("kubectl delete lease fleetgate-replica-ghost {NS}"));
}

/// Its pod goes without a chance to give the Lease back.
fn a_leader_that_is_gone_is_not_waited_for(bed: &Bed) {
    let first = leader(bed);
    let begun = Instant::now();
    bed.shell(&format!("kubectl delete pod {first} {NS} --force --grace-period=0"));
    while leader(bed) == first {
        assert!(begun.elapsed() < PATIENCE, "nobody else leads");
    }
    eprintln!("another replica leads after {} ms", begun.elapsed().as_millis());
}

/// It changes its class while no replica runs; the others keep what they have.
fn a_gateway_that_moved_away_meanwhile_keeps_nothing(bed: &Bed) {
    let objects = |number: usize| {
        format!(
            "kubectl get deployments,services,configmaps,secrets,serviceaccounts -o name \
             -l gateway.networking.k8s.io/gateway-name=g{number}"
        )
    };
    let before = bed.shell(&objects(1));
    assert_eq!(before.lines().count(), 5, "{before}");
    bed.shell(&format!("kubectl scale deployment fleetgate {NS} --replicas=0"));
    bed.shell(&format!("kubectl wait pods --all --for=delete --timeout=$PATIENCE {NS}"));
    bed.shell(
        "kubectl apply -f - <<'END'\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\n\
         metadata: {name: theirs}\nspec: {controllerName: example.com/theirs}\nEND",
    );
    bed.shell(r#"kubectl patch gateway g0 --type merge -p '{"spec": {"gatewayClassName": "theirs"}}'"#);
    bed.shell(&format!("kubectl scale deployment fleetgate {NS} --replicas=1"));
    bed.shell(&format!("timeout $PATIENCE sh -c 'until [ -z \"$({})\" ]; do sleep 0.1; done'", objects(0)));
    assert_eq!(bed.shell(&objects(1)), before);
}
