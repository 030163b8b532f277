//! Listeners of a Gateway: addresses, ports, and changes while it serves.

use std::net::{IpAddr, SocketAddr};

use crate::harness::{Ask, Connection, Scene, Traffic, free_port, gateway, until};

fn http(name: &str, port: u16) -> String {
    format!("{{name: {name}, port: {port}, protocol: HTTP}}")
}

async fn refused(port: u16) {
    until(&format!("port {port} closes"), async || match Connection::plain(port).await {
        Err(_) => Ok(()),
        Ok(_) => Err("it is open".to_owned()),
    })
    .await;
}

#[tokio::test]
async fn several_addresses_and_ports() {
    let Some(mut scene) = Scene::open("addresses").await else { return };
    let _backend = scene.backend("v1").await;
    let ports = [free_port(), free_port()];
    let addresses =
        "  addresses: [{type: IPAddress, value: 127.0.0.1}, {type: IPAddress, value: 127.0.0.2}]\n";
    scene.add(&(gateway(&scene.name, "web", &[http("one", ports[0]), http("two", ports[1])]) + addresses));
    scene.parent = "{name: web}".to_owned();
    scene.port = ports[0];
    scene.apply_rules("- backendRefs: [{name: v1, port: 80}]\n").await;
    for port in ports {
        for address in ["127.0.0.1", "127.0.0.2"] {
            let socket = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
            let answer = until(&format!("{socket} serves"), async || {
                Connection::plain_to(socket).await?.ask(&Ask::get(&scene.host, "/")).await
            })
            .await;
            assert_eq!(answer.brief(), (200, "v1".to_owned()), "{socket}");
        }
    }
    for condition in ["Accepted=True Accepted", "Programmed=True Programmed"] {
        scene.expect_condition("Gateway", "web", "", condition).await;
        scene.expect_condition("Gateway", "web", "/listeners/1", condition).await;
    }
    let status = scene.object("Gateway", "web").await.unwrap()["status"].clone();
    assert_eq!(status["addresses"][1]["value"], "127.0.0.2", "{status}");
    assert_eq!(status["listeners"][0]["attachedRoutes"], 2, "{status}");
}

/// Others serve on while a listener comes and goes.
#[tokio::test]
async fn come_and_go_while_others_serve() {
    let Some(mut scene) = Scene::open("come-and-go").await else { return };
    let _backend = scene.backend("v1").await;
    let ports = [free_port(), free_port()];
    let listeners = [http("one", ports[0]), http("two", ports[1])];
    scene.parent = "{name: web}".to_owned();
    scene.port = ports[0];
    let route = scene.route("route", "- backendRefs: [{name: v1, port: 80}]\n");
    scene.apply(&(gateway(&scene.name, "web", &listeners[..1]) + &route)).await;
    let request = Ask::get(&scene.host, "/");
    let traffic = Traffic::start(scene.port, &request).await;
    for _ in 0..2 {
        scene.write(&(gateway(&scene.name, "web", &listeners) + &route));
        scene.port = ports[1];
        let answer = scene.expect(&request, |answer| answer.status == 200).await;
        assert_eq!(answer.echo().pod, "v1");
        scene.expect_condition("Gateway", "web", "/listeners/1", "Programmed=True Programmed").await;
        scene.write(&(gateway(&scene.name, "web", &listeners[..1]) + &route));
        refused(ports[1]).await;
    }
    traffic.more(20).await;
    traffic.stop_with_only(&[(200, "v1")]).await;
    let listeners = scene.object("Gateway", "web").await.unwrap()["status"]["listeners"].clone();
    assert_eq!(listeners.as_array().unwrap().len(), 1, "{listeners}");
}

/// A Gateway that goes takes its Envoy with it; one that comes back serves again.
#[tokio::test]
async fn go_with_their_gateway() {
    let Some(mut scene) = Scene::open("gateway-goes").await else { return };
    let _backend = scene.backend("v1").await;
    scene.port = free_port();
    scene.parent = "{name: web}".to_owned();
    let web = gateway(&scene.name, "web", &[http("http", scene.port)]);
    let route = scene.route("route", "- backendRefs: [{name: v1, port: 80}]\n");
    for _ in 0..2 {
        scene.write(&(web.clone() + &route));
        scene.expect_status("/", 200).await;
        scene.write(&route);
        refused(scene.port).await;
        until("the Gateway leaves /status", async || match scene.object("Gateway", "web").await {
            None => Ok(()),
            Some(object) => Err(object.to_string()),
        })
        .await;
    }
}

/// One bad listener withdraws only itself.
#[tokio::test]
async fn conflicts_and_unknown_protocols_hurt_only_themselves() {
    let Some(mut scene) = Scene::open("bad-listeners").await else { return };
    let _backend = scene.backend("v1").await;
    let ports = [free_port(), free_port(), free_port()];
    let listeners = [
        http("good", ports[0]),
        http("twin", ports[2]),
        http("twin-too", ports[2]),
        format!("{{name: udp, port: {}, protocol: UDP}}", ports[1]),
    ];
    scene.add(&gateway(&scene.name, "web", &listeners));
    scene.parent = "{name: web}".to_owned();
    scene.port = ports[0];
    scene.apply_rules("- backendRefs: [{name: v1, port: 80}]\n").await;
    assert_eq!(scene.get("/").await.brief(), (200, "v1".to_owned()));
    scene.expect_condition("Gateway", "web", "", "Accepted=True ListenersNotValid").await;
    scene.expect_condition("Gateway", "web", "/listeners/0", "Programmed=True Programmed").await;
    for twin in ["/listeners/1", "/listeners/2"] {
        scene.expect_condition("Gateway", "web", twin, "Conflicted=True HostnameConflict").await;
    }
    scene.expect_condition("Gateway", "web", "/listeners/3", "Accepted=False UnsupportedProtocol").await;
    assert!(Connection::plain(ports[2]).await.is_err(), "none of the two wins");
}
