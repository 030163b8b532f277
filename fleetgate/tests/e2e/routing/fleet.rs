//! Instances that serve one configuration in different ways and must answer alike.

use std::collections::HashMap;

use futures_util::future::join_all;
use loadtest::backend::{Backend, Options};

use super::config::{BACKENDS, Config, NAMESPACES, PORTS};
use super::model::Expected;
use super::requests::Request;
use super::wire::{Reply, Wire};
use crate::harness::{Ask, Connection, Instance, ask, backend_service, free_port, gateway, until};

/// A way to serve: its name, and what `standalone` is told.
pub(super) type Way = (&'static str, &'static [&'static str]);

/// The way without the module.
pub(super) const PLAIN: &str = "plain";

/// All ways; the first is the plain one.
pub(super) const WAYS: &[Way] = &[
    (PLAIN, &["--proxy-module", "none"]),
    ("tables of one", &["--route-table-size", "1"]),
    ("tables of ten", &["--route-table-size", "10"]),
    ("one table", &["--route-table-size", "1000"]),
];

const CLASS: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: fleetgate}\n\
                     spec: {controllerName: fleetgate.dev/gateway}\n";

/// Instances with the same configuration, and the backends of all.
pub(super) struct Fleet {
    pub(super) members: Vec<Member>,
    backends: Vec<Backend>,
}

/// One instance.
pub(super) struct Member {
    pub(super) way: &'static str,
    pub(super) instance: Instance,
    pub(super) ports: [u16; PORTS],
}

/// An answer as far as it tells which rule it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) rule: Option<String>,
    pub(super) location: Option<String>,
    pub(super) backend: Option<String>,
}

impl Fleet {
    /// Starts an instance for each way; none without an Envoy.
    pub(super) async fn start(ways: &[Way]) -> Option<Fleet> {
        let mut members = Vec::new();
        for (way, arguments) in ways {
            members.push(Member {
                way,
                instance: Instance::spawn_with(arguments)?,
                ports: std::array::from_fn(|_| free_port()),
            });
        }
        let mut backends = Vec::new();
        for name in BACKENDS {
            backends.push(Backend::start(Options::named(name)).await.unwrap());
        }
        for member in &mut members {
            member.instance.ready().await;
            let status = member.instance.status().await;
            let mode = if member.way == PLAIN { "whole" } else { "scoped" };
            assert_eq!(
                status["proxies"][0]["routeTables"]["mode"], mode,
                "{}: is the module there? `cargo build -p proxy`; {status}",
                member.way
            );
        }
        Some(Fleet { members, backends })
    }

    /// Writes the base of every instance: GatewayClass, Gateway, Services, and waits until it is live.
    pub(super) async fn apply(&self, step: usize, config: &Config) {
        let services: String = NAMESPACES
            .iter()
            .flat_map(|namespace| BACKENDS.iter().zip(&self.backends).map(move |pair| (namespace, pair)))
            .map(|(namespace, (name, backend))| backend_service(namespace, name, backend))
            .collect();
        let routes: String = config.routes.iter().map(super::config::HttpRoute::yaml).collect();
        for member in &self.members {
            let marker = format!("{{name: http, port: {}, protocol: HTTP}}", member.instance.http);
            let mut listeners = vec![marker];
            listeners.extend(config.listeners(&member.ports));
            let text = format!("{CLASS}{}{services}{routes}", gateway("infra", "shared", &listeners));
            member.write("gateway.yaml", step, &text);
        }
        self.live(step).await;
        join_all(self.members.iter().map(|member| member.listening(config))).await;
    }

    /// Waits until what was written with this step is live everywhere.
    pub(super) async fn live(&self, step: usize) {
        join_all(self.members.iter().map(|member| member.live(step))).await;
    }

    /// What reached the backends so far.
    pub(super) fn backends(&self) -> &[Backend] {
        &self.backends
    }
}

impl Member {
    /// Writes a file with a mark: a route of a listener that no other route can attach to.
    pub(super) fn write(&self, file: &str, step: usize, text: &str) {
        let name = file.trim_end_matches(".yaml");
        let mark = format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: zz-mark-{name}, namespace: infra}}\nspec:\n  \
             parentRefs: [{{name: shared, sectionName: http}}]\n  rules:\n  \
             - matches: [{{path: {{type: Exact, value: /step-{step}}}}}]\n    \
             filters: [{{type: RequestRedirect, requestRedirect: {{hostname: marked}}}}]\n"
        );
        self.instance.write(file, &format!("{text}{mark}"));
    }

    /// Waits for the mark, then until all that fleetgate has read is acknowledged by Envoy.
    pub(super) async fn live(&self, step: usize) {
        let mark = Ask::get("mark.test", &format!("/step-{step}"));
        until(&format!("{}: step {step} is live", self.way), async || {
            let answer = ask(self.instance.http, &mark).await?;
            if answer.status == 302 { Ok(()) } else { Err(format!("{answer:?}\n{}", self.instance.log())) }
        })
        .await;
        let ready = Ask::get("localhost", "/readyz");
        until(&format!("{}: step {step} is acknowledged", self.way), async || {
            let answer = ask(self.instance.admin, &ready).await?;
            if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}\n{}", self.instance.log())) }
        })
        .await;
    }

    /// Waits until Envoy takes connections to all ports in use.
    async fn listening(&self, config: &Config) {
        for listener in &config.listeners {
            let port = self.ports[listener.port];
            until(&format!("{}: port {port} answers", self.way), async || {
                ask(port, &Ask::get("nobody", "/")).await.map(drop)
            })
            .await;
        }
    }

    /// Names of the small tables that its Envoy has.
    pub(super) async fn tables(&self) -> Vec<String> {
        let page = "/config_dump?resource=dynamic_scoped_route_configs";
        let dump = self.instance.envoy_page("infra_shared", page).await;
        let scopes = dump["configs"].as_array().into_iter().flatten();
        let scopes = scopes.filter_map(|config| config["scoped_route_configs"].as_array()).flatten();
        scopes.filter_map(|scope| scope["name"].as_str().map(str::to_owned)).collect()
    }

    /// Connections to this instance.
    pub(super) fn client(&self) -> Client {
        Client { ports: self.ports, http1: HashMap::new(), http2: HashMap::new() }
    }
}

/// Kept connections to the ports of one instance.
pub(super) struct Client {
    ports: [u16; PORTS],
    http1: HashMap<usize, Wire>,
    http2: HashMap<usize, Connection>,
}

impl Client {
    /// Makes a request.
    pub(super) async fn ask(&mut self, request: &Request) -> Result<Seen, String> {
        if request.http2 { self.ask_http2(request).await } else { self.ask_http1(request).await }
    }

    async fn ask_http1(&mut self, request: &Request) -> Result<Seen, String> {
        let port = self.ports[request.port];
        let wire = self.http1.entry(request.port).or_insert_with(|| Wire::to(port));
        wire.ask(&bytes(request), request.method == "HEAD").await.map(|reply| Seen::of(&reply))
    }

    async fn ask_http2(&mut self, request: &Request) -> Result<Seen, String> {
        if !self.http2.contains_key(&request.port) {
            self.http2.insert(request.port, Connection::h2c(self.ports[request.port]).await?);
        }
        let connection = self.http2.get_mut(&request.port).ok_or("not connected")?;
        let mut ask = Ask::get(&request.host, &request.target).method(request.method);
        ask.headers.clone_from(&request.headers);
        match connection.ask(&ask).await {
            Ok(answer) => Ok(Seen {
                status: answer.status,
                rule: answer.header("x-rule"),
                location: answer.header("location"),
                backend: answer.seen().map(|echo| echo.pod),
            }
            .with_rule_of_location()),
            Err(error) => {
                self.http2.remove(&request.port);
                Err(error)
            }
        }
    }
}

impl Seen {
    pub(super) fn of(reply: &Reply) -> Seen {
        let echo: Option<loadtest::backend::Echo> = serde_json::from_slice(&reply.body).ok();
        let header = |name: &str| reply.header(name).map(str::to_owned);
        let (rule, location) = (header("x-rule"), header("location"));
        Seen { status: reply.status, rule, location, backend: echo.map(|echo| echo.pod) }
            .with_rule_of_location()
    }

    fn with_rule_of_location(mut self) -> Seen {
        let rule = self.location.as_ref().and_then(|location| {
            let (rule, _) = location.strip_prefix("http://")?.split_once(".rule/")?;
            Some(rule.to_owned())
        });
        self.rule = self.rule.or(rule);
        self
    }

    /// True if it is what the model says.
    pub(super) fn is(&self, expected: &Expected) -> bool {
        let rule = self.rule.as_deref();
        match expected {
            Expected::Redirect(id) => self.status == 302 && rule == Some(id),
            // Answers to HEAD do not tell the backend.
            Expected::Backend(id, names) => {
                let fits = |name: &String| names.contains(&name.as_str());
                self.status == 200 && rule == Some(id) && self.backend.as_ref().is_none_or(fits)
            }
            Expected::Nothing => self.status == 404 && rule.is_none(),
            Expected::Refused => self.status == 400 && rule.is_none(),
        }
    }
}

fn bytes(request: &Request) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", request.method, request.target, request.host);
    for (name, value) in &request.headers {
        text += &format!("{name}: {value}\r\n");
    }
    if matches!(request.method, "POST" | "PUT" | "PATCH") {
        text += "content-length: 0\r\n";
    }
    text += "\r\n";
    text.into_bytes()
}
