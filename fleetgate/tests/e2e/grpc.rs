//! GRPCRoutes: matching, filters, backends in HTTP/2, and what callers get where there is no answer.

use loadtest::backend::Options;

use crate::harness::{Answer, Ask, Connection, Scene};

const OK: &str = "0";
const UNKNOWN: &str = "2";
const UNIMPLEMENTED: &str = "12";
const UNAVAILABLE: &str = "14";

async fn call(scene: &Scene<'_>, ask: &Ask) -> Answer {
    let mut client = Connection::h2c(scene.port).await.unwrap();
    client.ask(ask).await.unwrap()
}

/// Calls a method; its status, and which backend answered.
async fn brief(scene: &Scene<'_>, ask: &Ask) -> (String, String) {
    let answer = call(scene, ask).await;
    assert_eq!(answer.status, 200, "errors of gRPC are no errors of HTTP: {answer:?}");
    let status = answer.grpc_status().unwrap_or("none").to_owned();
    (status, answer.seen().map(|echo| echo.pod).unwrap_or_default())
}

#[tokio::test]
async fn calls_are_matched_by_service_method_and_headers() {
    let Some(mut scene) = Scene::open("grpc-matching").await else { return };
    let _backends = [scene.backend("v1").await, scene.backend("v2").await, scene.backend("v3").await];
    let rules = "- matches: [{method: {service: a.Echo}}]
  backendRefs: [{name: v2, port: 80}]
- matches: [{method: {service: a.Echo, method: Say}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{method: {method: List}}, {method: {type: RegularExpression, service: 'b\\..*', method: 'Get.*'}}]
  backendRefs: [{name: v2, port: 80}]
- matches: [{method: {service: a.Echo, method: Say}, headers: [{name: version, value: '3'}]}]
  backendRefs: [{name: v3, port: 80}]
";
    scene.apply(&scene.grpc_route("route", rules)).await;
    let ask = |service, method| Ask::grpc(&scene.host, service, method);
    for (ask, wanted) in [
        (ask("a.Echo", "Say"), (OK, "v1")),
        (ask("a.Echo", "Say").header("version", "3"), (OK, "v3")),
        (ask("a.Echo", "Sing"), (OK, "v2")),
        (ask("any.Thing", "List"), (OK, "v2")),
        (ask("b.Store", "GetOne"), (OK, "v2")),
        (ask("b.Store", "PutOne"), (UNIMPLEMENTED, "")),
        (ask("a.Echoes", "Say"), (UNIMPLEMENTED, "")),
    ] {
        let (status, backend) = brief(&scene, &ask).await;
        assert_eq!((status.as_str(), backend.as_str()), wanted, "{ask:?}");
    }
    // No call: none of the route's business.
    assert_eq!(scene.get("/a.Echo/Say").await.status, 404);
    scene.expect_healthy("GRPCRoute", "route").await;
}

#[tokio::test]
async fn calls_reach_backends_in_http2_as_they_were_made() {
    let Some(mut scene) = Scene::open("grpc-filters").await else { return };
    let _plain = scene.backend("plain").await;
    let _h2c = scene.backend_with("h2c", "kubernetes.io/h2c", Options::named("h2c")).await;
    let copy = scene.backend("copy").await;
    let rules = "- matches: [{method: {service: a.Plain}}]
  filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: x-set, value: gateway}], add: [{name: x-add, value: b}], remove: [x-gone]}
    - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-served-by, value: fleetgate}]}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: copy, port: 80}}}
  backendRefs: [{name: plain, port: 80}]
- matches: [{method: {service: a.H2c}}]
  backendRefs: [{name: h2c, port: 80}]
";
    scene.apply(&scene.grpc_route("route", rules)).await;
    let ask = Ask::grpc(&scene.host, "a.Plain", "Do");
    let answer = call(
        &scene,
        &ask.header("x-set", "client").header("x-add", "a").header("x-gone", "1").header("x-kept", "1"),
    )
    .await;
    assert_eq!(answer.trailers["grpc-status"], OK, "trailers come through");
    assert_eq!(answer.header("x-served-by").as_deref(), Some("fleetgate"));
    let echo = answer.echo();
    assert_eq!(
        (echo.pod.as_str(), echo.proto.as_str(), echo.path.as_str()),
        ("plain", "HTTP/2.0", "/a.Plain/Do")
    );
    assert_eq!((echo.method.as_str(), echo.host.as_str()), ("POST", scene.host.as_str()));
    assert_eq!(echo.headers["x-set"], ["gateway"]);
    assert_eq!(echo.headers["x-add"].join(","), "a,b");
    assert_eq!(
        (echo.header("x-gone"), echo.header("x-kept"), echo.header("te")),
        (None, Some("1"), Some("trailers"))
    );
    assert_eq!(echo.body.as_deref(), Some("\0\0\0\0\0"));
    let mirrored = copy.wait_for(|echo| echo.path == "/a.Plain/Do").await;
    assert_eq!((mirrored.proto.as_str(), mirrored.body.as_deref()), ("HTTP/2.0", Some("\0\0\0\0\0")));
    let echo = call(&scene, &Ask::grpc(&scene.host, "a.H2c", "Do")).await.echo();
    assert_eq!((echo.pod.as_str(), echo.proto.as_str()), ("h2c", "HTTP/2.0"));
    scene.expect_healthy("GRPCRoute", "route").await;
}

#[tokio::test]
async fn http_and_grpc_share_a_hostname_and_a_service() {
    let Some(mut scene) = Scene::open("grpc-and-http").await else { return };
    let _both = scene.backend("both").await;
    let http = scene.route("route", "- backendRefs: [{name: both, port: 80}]\n");
    let grpc = scene.grpc_route("calls", "- backendRefs: [{name: both, port: 80}]\n");
    scene.apply(&(http + &grpc)).await;
    let called = call(&scene, &Ask::grpc(&scene.host, "a.Echo", "Say")).await;
    assert_eq!((called.grpc_status(), called.echo().proto.as_str()), (Some(OK), "HTTP/2.0"));
    assert_eq!(scene.get("/a.Echo/Say").await.echo().proto, "HTTP/1.1");
    scene.expect_healthy_route("route").await;
    scene.expect_healthy("GRPCRoute", "calls").await;
}

#[tokio::test]
async fn calls_without_a_valid_backend_are_unavailable() {
    let Some(mut scene) = Scene::open("grpc-invalid").await else { return };
    let _backends = [
        scene.backend("good").await,
        scene.backend_with("ws", "kubernetes.io/ws", Options::named("ws")).await,
    ];
    let rules = "- matches: [{method: {service: a.Missing}}]
  backendRefs: [{name: missing, port: 80}]
- matches: [{method: {service: a.Nothing}}]
- matches: [{method: {service: a.Ws}}]
  backendRefs: [{name: ws, port: 80}]
- matches: [{method: {service: a.Extended}}]
  filters: [{type: ExtensionRef, extensionRef: {group: example.com, kind: Limit, name: slow}}]
  backendRefs: [{name: good, port: 80}]
- matches: [{method: {service: a.Half}}]
  backendRefs: [{name: good, port: 80}, {name: missing, port: 80}]
";
    scene.apply(&scene.grpc_route("route", rules)).await;
    for (service, wanted) in [
        ("a.Missing", UNAVAILABLE),
        ("a.Nothing", UNAVAILABLE),
        ("a.Ws", UNAVAILABLE),
        ("a.Extended", UNKNOWN),
    ] {
        let (status, _) = brief(&scene, &Ask::grpc(&scene.host, service, "Do")).await;
        assert_eq!(status, wanted, "{service}");
    }
    let (mut good, mut bad) = (0, 0);
    while good == 0 || bad == 0 {
        match brief(&scene, &Ask::grpc(&scene.host, "a.Half", "Do")).await {
            (status, backend) if status == OK && backend == "good" => good += 1,
            (status, _) if status == UNAVAILABLE => bad += 1,
            other => panic!("{other:?}"),
        }
        assert!(good + bad < 200, "{good} good and {bad} bad of 200");
    }
    scene.expect_condition("GRPCRoute", "route", "/parents/0", "Accepted=True Accepted").await;
    scene.expect_condition("GRPCRoute", "route", "/parents/0", "ResolvedRefs=False BackendNotFound").await;
    scene
        .expect_condition("GRPCRoute", "route", "/parents/0", "PartiallyInvalid=True UnsupportedValue")
        .await;
}

#[tokio::test]
async fn many_methods_of_a_host_are_walked_to() {
    let Some(mut scene) = Scene::open("grpc-many").await else { return };
    let _backends = [scene.backend("v1").await, scene.backend("v2").await];
    let rules: String = (0..300)
        .map(|number| {
            format!(
                "- matches: [{{method: {{service: a.S{}, method: M{number}}}}}]\n  backendRefs: [{{name: v{}, port: 80}}]\n",
                number / 20,
                1 + number % 2
            )
        })
        .collect();
    scene.apply(&scene.grpc_route("route", &rules)).await;
    for number in [0, 1, 19, 20, 150, 299] {
        let ask = Ask::grpc(&scene.host, &format!("a.S{}", number / 20), &format!("M{number}"));
        assert_eq!(brief(&scene, &ask).await, (OK.to_owned(), format!("v{}", 1 + number % 2)), "{number}");
    }
    assert_eq!(brief(&scene, &Ask::grpc(&scene.host, "a.S1", "M1")).await.0, UNIMPLEMENTED);
}
