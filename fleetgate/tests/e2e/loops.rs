//! Routes that lead to where they come from: a request ends after a few rounds, and others notice nothing.

use loadtest::backend::{Backend, Options};

use crate::harness::{Ask, Instance, ask, backend_service, free_port, gateway, service, until};

/// With the module and without.
const WAYS: [&[&str]; 2] = [&[], &["--proxy-module", "none"]];

fn route(name: &str, parent: &str, filters: &str, backend: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {{name: {name}-{parent}, namespace: infra}}\nspec:\n  parentRefs: [{{name: {parent}}}]\n  \
         hostnames: [{name}.test]\n  rules:\n  - filters: [{filters}]\n    \
         backendRefs: [{{name: {backend}, port: 80}}]\n"
    )
}

/// Requests that this Envoy has sent on to a Service.
async fn sent(instance: &Instance, service: &str) -> u64 {
    let page = instance.envoy_page("infra_shared", "/stats?format=json&filter=upstream_rq_total").await;
    let name = format!("cluster.service/infra/{service}/80.upstream_rq_total");
    let stats = page["stats"].as_array().unwrap();
    stats.iter().find(|stat| stat["name"] == name.as_str()).map_or(0, |stat| stat["value"].as_u64().unwrap())
}

#[tokio::test]
async fn a_request_that_comes_back_ends_after_a_few_rounds() {
    for way in WAYS {
        let Some(mut instance) = Instance::spawn_with(way) else { return };
        instance.ready().await;
        let backend = Backend::start(Options::named("fine")).await.unwrap();
        let second = free_port();
        let to_self = "{type: RequestMirror, requestMirror: {backendRef: {name: self, port: 80}}}";
        let renamed = "{type: URLRewrite, urlRewrite: {hostname: fine.test}}";
        let objects = [
            gateway("infra", "second", &[format!("{{name: http, port: {second}, protocol: HTTP}}")]),
            service("infra", "self", "", &[instance.http]),
            service("infra", "second", "", &[second]),
            backend_service("infra", "fine", &backend),
            route("loop", "shared", "", "self"),
            route("mirror", "shared", to_self, "self"),
            route("two", "shared", "", "second"),
            route("two", "second", "", "self"),
            route("once", "shared", renamed, "self"),
            route("fine", "shared", "", "fine"),
        ];
        instance.write("loops.yaml", &objects.concat());
        until("the last route serves", async || {
            let answer = ask(instance.http, &Ask::get("once.test", "/")).await?;
            if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}\n{}", instance.log())) }
        })
        .await;
        until("the second Gateway serves", async || ask(second, &Ask::get("nobody", "/")).await.map(drop))
            .await;
        instance.ready().await;

        // A route may lead to its own Gateway, if that leads on to somewhere else.
        let answer = ask(instance.http, &Ask::get("once.test", "/")).await.unwrap();
        assert_eq!(answer.brief(), (200, "fine".to_owned()));
        assert_eq!(answer.echo().header("cdn-loop"), Some("fleetgate"));
        // Who has not gone round has nothing of it.
        let answer = ask(instance.http, &Ask::get("fine.test", "/")).await.unwrap();
        assert_eq!((answer.status, answer.echo().header("cdn-loop")), (200, None));

        for (host, most) in [("loop", 4), ("two", 4), ("mirror", 30)] {
            let before = sent(&instance, "self").await + sent(&instance, "second").await;
            let answer = ask(instance.http, &Ask::get(&format!("{host}.test"), "/")).await.unwrap();
            let text = String::from_utf8_lossy(&answer.body);
            assert_eq!(answer.status, 508, "{host} {way:?}: {text}");
            assert!(text.contains("a route leads to where it comes from"), "{host}: {text}");
            // Mirrors go on after the answer: until no more come.
            let mut last = 0;
            until("requests have ended", async || {
                let now = sent(&instance, "self").await + sent(&instance, "second").await;
                if std::mem::replace(&mut last, now) == now { Ok(()) } else { Err(format!("{now}")) }
            })
            .await;
            assert!((1..=most).contains(&(last - before)), "{host} {way:?}: {} rounds", last - before);
            let answer = ask(instance.http, &Ask::get("fine.test", "/")).await.unwrap();
            assert_eq!(answer.brief(), (200, "fine".to_owned()));
        }
    }
}
