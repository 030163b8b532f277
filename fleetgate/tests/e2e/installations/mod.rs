//! fleetgate is taken away and comes back, here or elsewhere, and there are two of it: under traffic.

mod backends;
mod scene;

use serde_json::Value;

use scene::{GATEWAY, Scene};

const NS: &str = "-n fleetgate-system";
const CHART: &str = "./deploy/charts/fleetgate";
#[test]
fn gateways_serve_while_fleetgate_goes_and_comes_back() {
    let Some(scene) = Scene::new() else { return };
    it_is_uninstalled_and_installed_again(&scene);
    the_class_is_deleted(&scene);
    the_class_gets_another_name(&scene);
}

/// What may go besides, and how soon proxies are back.
#[test]
fn proxies_come_back_wherever_fleetgate_goes() {
    let Some(scene) = Scene::new() else { return };
    the_class_gets_another_name(&scene);
    a_proxy_that_starts_meanwhile_says_why_and_comes_back(&scene);
    its_service_gets_another_address(&scene);
    what_it_needs_is_deleted(&scene);
    it_moves_to_another_namespace(&scene);
}

fn it_is_uninstalled_and_installed_again(scene: &Scene) {
    let before = scene.proxies();
    let traffic = scene.traffic();
    scene.bed.shell(&format!("helm uninstall fleetgate {NS} --wait"));
    scene.until(&format!("[ -z \"$(kubectl get pods {NS} -o name)\" ]"));
    let class = scene.bed.object("gatewayclass fleetgate");
    let finalizers = class["metadata"]["finalizers"].to_string();
    assert!(finalizers.contains("gateway-exists-finalizer.gateway.networking.k8s.io"), "{class:#}");
    scene.until(&format!("[ -z \"$(kubectl get leases {NS} -o name)\" ]"));
    let left = scene.bed.shell(&format!(
        "kubectl get serviceaccounts,roles,rolebindings,deployments,services,configmaps {NS} -o name; \
         kubectl get clusterroles,clusterrolebindings -o name | grep fleetgate || true"
    ));
    let ours =
        left.lines().filter(|name| !name.ends_with("/default") && !name.ends_with("/kube-root-ca.crt"));
    assert_eq!(ours.collect::<Vec<_>>(), [""; 0]);
    traffic.stop_without_failure("uninstalled");

    let traffic = scene.traffic();
    scene.bed.shell(&format!("helm install fleetgate {CHART} {NS} >/dev/null"));
    eprintln!("reinstalled: all proxies are back after {} ms", scene.reconnected(NS));
    scene.is_followed("again.example.com");
    traffic.stop_without_failure("reinstalled");
    assert_eq!(scene.proxies(), before, "the same pods, of the same Deployment");
}

fn the_class_is_deleted(scene: &Scene) {
    let traffic = scene.traffic();
    // It stays as long as it is needed.
    scene.bed.shell("kubectl delete gatewayclass fleetgate --wait=false");
    scene.is_followed("deleted.example.com");
    scene.bed.shell("kubectl get gatewayclass fleetgate");
    // Somebody knows better.
    let finalizers = r#"{"metadata": {"finalizers": null}}"#;
    scene.bed.shell(&format!("kubectl patch gatewayclass fleetgate --type merge -p '{finalizers}'"));
    scene.until("! kubectl get gatewayclass fleetgate");
    let told = "kubectl get gateway web -o json | grep -q 'GatewayClass fleetgate does not exist'";
    scene.until(told);
    scene.is_followed("kept.example.com");
    // A process that begins with it knows as much from the log, and one without a log keeps quiet.
    scene.bed.shell(&format!("kubectl rollout restart deployment/fleetgate {NS}"));
    scene.bed.shell(&format!("kubectl rollout status deployment/fleetgate {NS} --timeout=$PATIENCE"));
    scene.reconnected(NS);
    scene.bed.shell(&format!("helm upgrade fleetgate {CHART} {NS} --wait --timeout $PATIENCE"));
    scene.is_followed("made.example.com");
    scene.until(&format!("! {told}"));
    traffic.stop_without_failure("class deleted and made again");
    assert!(scene.accepted().contains("accepted"), "{}", scene.accepted());
}

fn the_class_gets_another_name(scene: &Scene) {
    let before = scene.proxies();
    let traffic = scene.traffic();
    // The Gateway first: for a while its class is not there.
    scene.bed.shell(r#"kubectl patch gateway web --type merge -p '{"spec": {"gatewayClassName": "edge"}}'"#);
    scene.until("kubectl get gateway web -o json | grep -q 'GatewayClass edge does not exist'");
    scene.is_followed("early.example.com");
    scene.bed.shell(&format!(
        "helm upgrade fleetgate {CHART} {NS} --wait --timeout $PATIENCE --set gatewayClass.name=edge"
    ));
    scene.is_followed("renamed.example.com");
    // The old one was kept by the chart, and is not needed any more.
    scene.bed.shell("kubectl delete gatewayclass fleetgate --timeout=$PATIENCE");
    scene.is_followed("other.example.com");
    traffic.stop_without_failure("class renamed");
    assert_eq!(scene.proxies(), before);
}

/// One of the two pods; the other one serves.
fn a_proxy_that_starts_meanwhile_says_why_and_comes_back(scene: &Scene) {
    let upgrade = format!(
        "helm upgrade fleetgate {CHART} {NS} --wait --timeout $PATIENCE --set gatewayClass.name=edge"
    );
    let traffic = scene.traffic();
    scene.bed.shell(&format!("kubectl scale deployment fleetgate {NS} --replicas=0"));
    scene.bed.shell(&format!("kubectl wait pods --all --for=delete --timeout=$PATIENCE {NS}"));
    let pod = "kubectl get pods -l gateway.networking.k8s.io/gateway-name=web --field-selector status.phase=Running -o name";
    scene.bed.shell(&format!("kubectl delete $({pod} | head -1) --timeout=$PATIENCE"));
    let told = "kubectl get events -o jsonpath='{.items[*].message}'";
    let why = "the control plane at fleetgate.fleetgate-system.svc:18000 is not reached";
    scene.until(&format!("{told} | grep -q '{why}'"));
    let programmed = scene.bed.shell(
        "kubectl get gateway web -o jsonpath='{.status.conditions[?(@.type==\"Programmed\")].message}'",
    );
    assert!(
        programmed.contains("this is current while Lease fleetgate-system/fleetgate is renewed"),
        "{programmed}"
    );

    // It read what is not true, and nobody told it so.
    let config = "kubectl get configmap gloo-proxy-web -o yaml";
    scene.bed.shell(&format!(
        "{config} | sed 's/fleetgate.fleetgate-system.svc/nowhere.example/g' | kubectl replace -f -"
    ));
    scene.bed.shell(
        "kubectl delete pod --timeout=$PATIENCE $(kubectl get pods -l gateway.networking.k8s.io/gateway-name=web -o \
         jsonpath='{.items[?(@.status.containerStatuses[0].ready==false)].metadata.name}')",
    );
    scene.until(&format!("[ $({pod} | wc -l) = 2 ]"));
    scene.bed.shell(&upgrade);
    eprintln!("started again: all proxies are back after {} ms", scene.reconnected(NS));
    scene.bed.shell("kubectl rollout status deployment/gloo-proxy-web --timeout=$PATIENCE");
    scene.is_followed("back.example.com");
    traffic.stop_without_failure("a proxy that started meanwhile");
}

/// The control plane's Service is made anew, and then its pod.
fn its_service_gets_another_address(scene: &Scene) {
    let traffic = scene.traffic();
    let address = || scene.bed.object(&format!("service fleetgate {NS}"))["spec"]["clusterIP"].clone();
    let before = address();
    let mut service = scene.bed.object(&format!("service fleetgate {NS}"));
    for gone in ["clusterIP", "clusterIPs"] {
        service["spec"].as_object_mut().unwrap().remove(gone);
    }
    for gone in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        service["metadata"].as_object_mut().unwrap().remove(gone);
    }
    scene.bed.shell(&format!(
        "kubectl delete service fleetgate {NS}; kubectl create -f - <<'END'\n{service}\nEND"
    ));
    assert_ne!(address(), before);
    scene.bed.shell(&format!("kubectl delete pod -l app.kubernetes.io/component=control-plane {NS}"));
    eprintln!("another address: all proxies are back after {} ms", scene.reconnected(NS));
    scene.is_followed("address.example.com");
    traffic.stop_without_failure("another address");
}

/// The authority is made again as it was; without rights nothing counts as gone.
fn what_it_needs_is_deleted(scene: &Scene) {
    let before = scene.proxies();
    let traffic = scene.traffic();
    let authority = format!("kubectl get secret fleetgate-xds-ca {NS} -o jsonpath='{{.data.tls\\.crt}}'");
    let certificate = scene.bed.shell(&authority);
    scene.bed.shell(&format!("kubectl delete secret fleetgate-xds-ca {NS}"));
    scene.until(&format!("[ \"$({authority})\" = {certificate} ]"));
    scene.bed.shell("kubectl delete clusterrolebinding fleetgate-fleetgate-system");
    scene
        .bed
        .shell(&format!("kubectl delete pod -l app.kubernetes.io/component=control-plane {NS} --wait=false"));
    scene.until(&format!("kubectl logs deployment/fleetgate {NS} | grep -q 'is forbidden'"));
    scene.bed.shell(&format!("helm upgrade fleetgate {CHART} {NS} --set gatewayClass.name=edge"));
    scene.reconnected(NS);
    scene.is_followed("allowed.example.com");
    traffic.stop_without_failure("authority and rights deleted");
    assert_eq!(scene.proxies(), before);
}

fn it_moves_to_another_namespace(scene: &Scene) {
    let traffic = scene.traffic();
    scene.bed.shell(&format!("helm uninstall fleetgate {NS} --wait"));
    let ns = "-n elsewhere";
    scene.bed.shell(&format!(
        "helm install edge {CHART} {ns} --create-namespace --wait --timeout $PATIENCE --set gatewayClass.name=edge"
    ));
    // The control plane's name is another one, and its authority.
    scene.until("kubectl get configmap gloo-proxy-web -o yaml | grep -q edge-fleetgate.elsewhere.svc");
    scene.bed.shell("kubectl rollout status deployment/gloo-proxy-web --timeout=$PATIENCE");
    scene.is_followed("elsewhere.example.com");
    traffic.stop_without_failure("moved to another namespace");
}

#[test]
fn of_two_installations_with_one_controller_name_the_second_is_refused() {
    let Some(scene) = Scene::new() else { return };
    let before = scene.proxies();
    let traffic = scene.traffic();
    for (release, ns) in [("second", "-n second"), ("third", NS)] {
        scene.bed.shell(&format!("helm install {release} {CHART} {ns} --create-namespace"));
        let logs = format!("kubectl logs deployment/{release}-fleetgate {ns}");
        scene.until(&format!(
            "{logs} 2>/dev/null | grep -q 'is taken by installation fleetgate in namespace fleetgate-system'"
        ));
        let written = scene.bed.shell(&format!("kubectl get secrets,leases {ns} -o name"));
        let foreign = |name: &&str| !name.starts_with("secret/sh.helm.release") && ns != NS;
        assert_eq!(written.lines().filter(foreign).collect::<Vec<_>>(), [""; 0]);
        scene.bed.shell(&format!("helm uninstall {release} {ns} --wait"));
    }
    scene.is_followed("first.example.com");
    // With names of its own it is welcome.
    let own = "--set controllerName=example.com/gateways --set gatewayClass.name=other";
    scene.bed.shell(&format!("helm install second {CHART} -n second --wait --timeout $PATIENCE {own}"));
    let other =
        GATEWAY.replace("web", "other").replace("Name: fleetgate", "Name: other").replace("2.77", "2.78");
    scene.bed.shell(&format!("kubectl apply -f - <<'END'\n{other}END"));
    scene.bed.shell("kubectl wait gateway/other --for=condition=Programmed --timeout=$PATIENCE");
    scene.is_followed("both.example.com");
    let deployment = scene.bed.object("deployment gloo-proxy-other");
    assert_eq!(deployment["metadata"]["labels"]["fleetgate.dev/controller-name"], "example.com_gateways");
    let leases = scene.bed.object("leases -A");
    let led: Vec<&Value> = leases["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["spec"]["holderIdentity"] != "")
        .collect();
    let name = |name: &str| led.iter().any(|one| one["metadata"]["name"] == name);
    assert!(name("fleetgate") && name("fleetgate.example.com.gateways"), "{led:#?}");
    // Each restarts, and takes nothing from the other.
    scene.bed.shell(&format!("kubectl rollout restart deployment/fleetgate {NS}; kubectl rollout restart deployment/second-fleetgate -n second"));
    scene.bed.shell(&format!("kubectl rollout status deployment/fleetgate {NS} --timeout=$PATIENCE; kubectl rollout status deployment/second-fleetgate -n second --timeout=$PATIENCE"));
    scene.is_followed("restarted.example.com");
    traffic.stop_without_failure("two installations");
    assert_eq!(scene.proxies(), before);
    a_gateway_changes_hands(&scene);
    scene.bed.shell("helm uninstall second -n second --wait; kubectl delete gateway other");
}

/// To the other installation and back, by its class: what is deployed is taken over, and serves until its successors do.
fn a_gateway_changes_hands(scene: &Scene) {
    let service = || scene.bed.object("service gloo-proxy-web")["metadata"]["uid"].clone();
    let before = service();
    for (class, whose) in [
        ("other", "fleetgate.dev/controller-name=example.com_gateways"),
        ("fleetgate", "!fleetgate.dev/controller-name"),
    ] {
        let traffic = scene.traffic();
        let patch = format!(r#"{{"spec": {{"gatewayClassName": "{class}"}}}}"#);
        scene.bed.shell(&format!("kubectl patch gateway web --type merge -p '{patch}'"));
        let named = "kubectl get deployments -o name -l gateway.networking.k8s.io/gateway-name=web";
        scene.until(&format!("{named},'{whose}' | grep -q gloo-proxy-web"));
        scene.is_followed(&format!("{class}.example.com"));
        scene.bed.shell("kubectl rollout status deployment/gloo-proxy-web --timeout=$PATIENCE");
        scene.is_followed(&format!("{class}-alone.example.com"));
        traffic.stop_without_failure(&format!("handed to class {class}"));
    }
    assert_eq!(service(), before, "with its address");
}
