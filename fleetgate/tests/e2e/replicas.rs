//! Two replicas of the control plane: both serve xDS, one writes statuses and deploys.

use crate::harness::Bed;

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
    a_gateway_that_moved_away_meanwhile_keeps_nothing(&bed);
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
    bed.shell(&format!(
        "for i in $(seq 600); do [ -z \"$({})\" ] && exit; sleep 0.1; done; exit 1",
        objects(0)
    ));
    assert_eq!(bed.shell(&objects(1)), before);
}
