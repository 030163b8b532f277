//! Session persistence: requests that show their session go where the first one went.

use loadtest::backend::{Backend, Options};

use crate::harness::{Ask, Scene, service};

const RULES: &str = "- matches: [{path: {value: /cookie}}]
  sessionPersistence: {cookie: {name: sid}}
  backendRefs: [{name: pair, port: 80}]
- matches: [{path: {value: /header}}]
  sessionPersistence: {type: Header, header: {name: x-session}}
  backendRefs: [{name: pair, port: 80}]
";

#[tokio::test]
async fn a_session_stays_with_its_endpoint() {
    let Some(mut scene) = Scene::open("sessions").await else { return };
    let a = Backend::start(Options::named("a")).await.unwrap();
    let b = Backend::start(Options::named("b")).await.unwrap();
    let pair = service(&scene.name, "pair", "", &[a.addr.port(), b.addr.port()]);
    scene.add(&pair);
    scene.apply_rules(RULES).await;
    for (path, shown, header) in [("/cookie", "set-cookie", "cookie"), ("/header", "x-session", "x-session")]
    {
        let first = scene.get(path).await;
        let session = first.header(shown).unwrap_or_else(|| panic!("{path} begins no session: {first:?}"));
        let session = session.split(';').next().unwrap().to_owned();
        assert_eq!(path == "/cookie", session.starts_with("sid="), "{session}");
        for _ in 0..20 {
            let answer = scene.ask(&Ask::get(&scene.host, path).header(header, &session)).await;
            assert_eq!(answer.echo().pod, first.echo().pod, "{path}");
        }
    }
    let mut pods = Vec::new();
    for _ in 0..40 {
        pods.push(scene.get("/cookie").await.echo().pod);
    }
    assert!(pods.iter().any(|pod| pod == "a") && pods.iter().any(|pod| pod == "b"), "{pods:?}");
}
