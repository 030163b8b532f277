//! One test's part of an instance: a namespace, a hostname, files, backends.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use loadtest::backend::{Backend, Options};
use serde_json::Value;

use super::client::{Answer, Ask, Connection, ask};
use super::instance::{Instance, shared};
use super::wait::until;
use super::yaml::{indent, service};

/// Files are removed when it is dropped.
pub(crate) struct Scene<'a> {
    /// Namespace of its objects; begins the names of its files.
    pub(crate) name: String,
    /// Hostname of its routes.
    pub(crate) host: String,
    /// Port that its requests go to.
    pub(crate) port: u16,
    /// The Gateway that routes attach to, as a parentRef in flow style.
    pub(crate) parent: String,
    pub(crate) instance: &'a Instance,
    services: String,
    files: Mutex<Vec<String>>,
    step: AtomicU32,
}

impl Scene<'static> {
    /// A part of the shared instance; none without an Envoy.
    pub(crate) async fn open(name: &str) -> Option<Scene<'static>> {
        Some(Scene::on(shared().await?, name))
    }
}

impl<'a> Scene<'a> {
    /// A part of an instance.
    pub(crate) fn on(instance: &'a Instance, name: &str) -> Scene<'a> {
        Scene {
            name: name.to_owned(),
            host: format!("{name}.example.com"),
            port: instance.http,
            parent: "{name: shared, namespace: infra}".to_owned(),
            instance,
            services: String::new(),
            files: Mutex::default(),
            step: AtomicU32::new(0),
        }
    }

    /// Starts a backend and its Service on port 80.
    pub(crate) async fn backend(&mut self, name: &str) -> Backend {
        self.backend_with(name, "", Options::named(name)).await
    }

    /// Starts a backend and its Service with an appProtocol.
    pub(crate) async fn backend_with(&mut self, name: &str, protocol: &str, options: Options) -> Backend {
        let backend = Backend::start(options).await.unwrap();
        let port = backend.addr.port();
        self.services += &service(&self.name, name, protocol, &[port]);
        backend
    }

    /// Adds objects that every `apply` writes.
    pub(crate) fn add(&mut self, objects: &str) {
        self.services += objects;
    }

    /// An HTTPRoute of this scene's hostname, with rules in YAML.
    pub(crate) fn route(&self, name: &str, rules: &str) -> String {
        self.route_for(name, &format!("[{}]", self.host), rules)
    }

    /// An HTTPRoute for some hostnames, in flow style.
    pub(crate) fn route_for(&self, name: &str, hostnames: &str, rules: &str) -> String {
        self.route_of("HTTPRoute", name, hostnames, rules)
    }

    /// A GRPCRoute of this scene's hostname, with rules in YAML.
    pub(crate) fn grpc_route(&self, name: &str, rules: &str) -> String {
        self.route_of("GRPCRoute", name, &format!("[{}]", self.host), rules)
    }

    fn route_of(&self, kind: &str, name: &str, hostnames: &str, rules: &str) -> String {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\n\
             metadata: {{name: {name}, namespace: {}}}\nspec:\n  parentRefs: [{}]\n  hostnames: {hostnames}\n\
             \x20 rules:\n{}",
            self.name,
            self.parent,
            indent(rules, 4)
        )
    }

    /// Writes the test's file: what was added, the backends' Services, and these objects.
    pub(crate) fn write(&self, objects: &str) {
        self.write_file("", &format!("{}{objects}", self.services));
    }

    /// Writes another file.
    pub(crate) fn write_file(&self, suffix: &str, text: &str) {
        let file = format!("{}{suffix}.yaml", self.name);
        self.instance.write(&file, text);
        self.files.lock().unwrap().push(file);
    }

    /// Removes another file.
    pub(crate) fn remove_file(&self, suffix: &str) {
        self.instance.remove(&format!("{}{suffix}.yaml", self.name));
    }

    /// Writes the file and waits until all of it is live. A route that answers by itself is written with
    /// it: Envoy takes both in one update.
    pub(crate) async fn apply(&self, objects: &str) {
        let step = self.step.fetch_add(1, Ordering::Relaxed);
        let marker = format!("/applied-{step}");
        let rule = format!(
            "- matches: [{{path: {{type: Exact, value: {marker}}}}}]\n  \
             filters: [{{type: RequestRedirect, requestRedirect: {{statusCode: 302}}}}]\n"
        );
        self.write(&format!("{objects}{}", self.route("zz-applied", &rule)));
        let ask = Ask::get(&self.host, &marker);
        self.expect(&ask, |answer| answer.status == 302).await;
    }

    /// Applies one route of this scene's hostname.
    pub(crate) async fn apply_rules(&self, rules: &str) {
        self.apply(&self.route("route", rules)).await;
    }

    /// Makes a request; it must be answered.
    pub(crate) async fn ask(&self, request: &Ask) -> Answer {
        ask(self.port, request).await.unwrap_or_else(|error| panic!("{request:?}: {error}"))
    }

    /// GETs a path of this scene's host.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&Ask::get(&self.host, path)).await
    }

    /// Asks again until the answer is good.
    pub(crate) async fn expect(&self, request: &Ask, good: impl Fn(&Answer) -> bool) -> Answer {
        until(&format!("{request:?} of port {}", self.port), async || match ask(self.port, request).await {
            Ok(answer) if good(&answer) => Ok(answer),
            Ok(answer) => Err(format!("{answer:?}; faults: {}", self.instance.status().await["faults"])),
            Err(error) => Err(error),
        })
        .await
    }

    /// Asks again until this status comes.
    pub(crate) async fn expect_status(&self, path: &str, status: u16) -> Answer {
        self.expect(&Ask::get(&self.host, path), |answer| answer.status == status).await
    }

    /// An open connection to this scene's port.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::plain(self.port).await.unwrap()
    }

    /// An object of this scene's namespace in `/status`.
    pub(crate) async fn object(&self, kind: &str, name: &str) -> Option<Value> {
        let status = self.instance.status().await;
        let found = status["objects"].as_array().unwrap().iter().find(|object| {
            object["kind"] == kind
                && object["metadata"]["name"] == name
                && object["metadata"]["namespace"] == self.name.as_str()
        });
        found.cloned()
    }

    /// Waits until a condition at a place in an object's status, e.g. `/parents/0`, reads
    /// `TYPE=STATUS REASON`.
    pub(crate) async fn expect_condition(&self, kind: &str, name: &str, place: &str, wanted: &str) {
        let (wanted_type, _) = wanted.split_once('=').unwrap();
        until(&format!("{kind} {name} has {place} {wanted}"), async || {
            let object = self.object(kind, name).await.ok_or("not in /status")?;
            let conditions = object["status"].pointer(&format!("{place}/conditions")).cloned();
            let conditions = conditions.ok_or_else(|| format!("no conditions there: {object}"))?;
            let all = conditions.as_array().unwrap();
            let found = all.iter().find(|condition| condition["type"] == wanted_type);
            let found = found.ok_or_else(|| format!("not among {conditions}"))?;
            let text = format!(
                "{wanted_type}={} {}",
                found["status"].as_str().unwrap(),
                found["reason"].as_str().unwrap()
            );
            assert_eq!(found["observedGeneration"], object["metadata"]["generation"], "{object}");
            if text == wanted { Ok(()) } else { Err(format!("{text}: {}", found["message"])) }
        })
        .await;
    }

    /// Waits until an HTTPRoute is accepted and its references resolve.
    pub(crate) async fn expect_healthy_route(&self, name: &str) {
        self.expect_healthy("HTTPRoute", name).await;
    }

    /// Waits until a route of some kind is accepted and its references resolve.
    pub(crate) async fn expect_healthy(&self, kind: &str, name: &str) {
        self.expect_condition(kind, name, "/parents/0", "Accepted=True Accepted").await;
        self.expect_condition(kind, name, "/parents/0", "ResolvedRefs=True ResolvedRefs").await;
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        for file in self.files.get_mut().unwrap().drain(..) {
            self.instance.remove(&file);
        }
    }
}
