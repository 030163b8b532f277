//! The directory of YAML that fleetgate is given: one Gateway, N routes, a Service per hundred routes.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Routes that share one Service.
const ROUTES_PER_SERVICE: usize = 100;
/// Routes that have a file of their own even if the others share one, so that they can be edited.
const EDITABLE: usize = 10;
/// Namespace and name of the Gateway.
pub(crate) const GATEWAY: &str = "default/load";

/// Whether the routes share one hostname.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Hosts {
    /// Each route has its own hostname
    Own,
    /// One hostname, each route has its own path prefix
    Shared,
}

/// How the routes lie in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Files {
    /// One route a file
    Many,
    /// All but ten routes in one file
    One,
}

/// What a request must ask for to reach a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) path: String,
}

/// Ports that the objects point to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// Of the Gateway's listener.
    pub(crate) listener: u16,
    /// Of the backend of every Service.
    pub(crate) backend: u16,
}

/// The generator, and where it writes.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    staging: PathBuf,
    pub(crate) routes: usize,
    hosts: Hosts,
    files: Files,
}

impl Directory {
    /// A directory `config` below `parent`, not yet written.
    pub(crate) fn new(parent: &Path, routes: usize, hosts: Hosts, files: Files) -> Directory {
        Directory { root: parent.join("config"), staging: parent.join("staging"), routes, hosts, files }
    }

    /// Where fleetgate shall look.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes all objects.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn write(&self, ports: Ports) -> anyhow::Result<()> {
        fs::create_dir_all(self.root.join("routes")).context("cannot create the config directory")?;
        fs::create_dir_all(&self.staging).context("cannot create the staging directory")?;
        self.put("gateway.yaml", &gateway(ports.listener))?;
        for service in 0..self.services() {
            self.put(&format!("{}.yaml", service_name(service)), &service_yaml(service))?;
            self.put(&slice_file(service), &slice(service, ports.backend))?;
        }
        let mut together = String::new();
        for route in 0..self.routes {
            let yaml = self.route(route, None);
            if self.files == Files::One && route >= EDITABLE {
                let _ = write!(together, "---\n{yaml}");
            } else {
                self.put(&route_file(route), &yaml)?;
            }
        }
        if together.is_empty() { Ok(()) } else { self.put("routes.yaml", &together) }
    }

    /// Writes a file as an editor or a deploy script should: whole, under its name only when complete.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn put(&self, file: &str, content: &str) -> anyhow::Result<()> {
        let draft = self.staging.join("draft.yaml");
        fs::write(&draft, content)
            .and_then(|()| fs::rename(&draft, self.root.join(file)))
            .with_context(|| format!("cannot write {file} in {}", self.root.display()))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(crate) fn remove(&self, file: &str) -> anyhow::Result<()> {
        fs::remove_file(self.root.join(file)).with_context(|| format!("cannot remove {file}"))
    }

    /// Services in the directory; at least two, so that one can change while another must not.
    pub(crate) fn services(&self) -> usize {
        self.routes.div_ceil(ROUTES_PER_SERVICE).max(2)
    }

    /// Service of a route.
    pub(crate) fn service_of(&self, route: usize) -> usize {
        route % self.services()
    }

    /// A route that no step changes and that must always answer: the last one not of service 0.
    pub(crate) fn steady_route(&self) -> usize {
        (0..self.routes).rev().find(|route| self.service_of(*route) != 0).unwrap_or(1)
    }

    /// How to reach a route of the base.
    pub(crate) fn target(&self, route: usize) -> Target {
        self.named_target(&route_name(route))
    }

    /// How to reach the route that [`Directory::extra`] makes.
    pub(crate) fn extra_target(&self, number: usize) -> Target {
        self.named_target(&extra_name(number))
    }

    /// YAML of a route of the base, with a response header `x-edit` if `edit` is given.
    pub(crate) fn route(&self, route: usize, edit: Option<&str>) -> String {
        self.named_route(&route_name(route), self.service_of(route), edit)
    }

    /// YAML of a route that comes and goes.
    pub(crate) fn extra(&self, number: usize) -> String {
        self.named_route(&extra_name(number), 1, None)
    }

    fn named_target(&self, name: &str) -> Target {
        match self.hosts {
            Hosts::Own => Target { host: format!("{name}.example.com"), path: "/".into() },
            Hosts::Shared => Target { host: "shared.example.com".into(), path: format!("/{name}") },
        }
    }

    fn named_route(&self, name: &str, service: usize, edit: Option<&str>) -> String {
        let Target { host, path } = self.named_target(name);
        let service = service_name(service);
        let filter = edit.map_or_else(String::new, |value| {
            format!(
                "    filters:\n    - type: ResponseHeaderModifier\n      responseHeaderModifier:\n        \
                 set: [{{name: x-edit, value: \"{value}\"}}]\n"
            )
        });
        format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: default}}
spec:
  parentRefs: [{{name: load}}]
  hostnames: [{host}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]
    backendRefs: [{{name: {service}, port: 80}}]
{filter}"
        )
    }
}

/// File of a route of the base that can be edited.
pub(crate) fn route_file(route: usize) -> String {
    format!("routes/{}.yaml", route_name(route))
}

/// File of a route that comes and goes.
pub(crate) fn extra_file(number: usize) -> String {
    format!("routes/{}.yaml", extra_name(number))
}

/// File of a Service's EndpointSlice.
pub(crate) fn slice_file(service: usize) -> String {
    format!("{}-endpoints.yaml", service_name(service))
}

/// YAML of a Service's EndpointSlice with one endpoint, a backend on loopback.
pub(crate) fn slice(service: usize, port: u16) -> String {
    let name = service_name(service);
    format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-1
  namespace: default
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
ports: [{{name: http, port: {port}, protocol: TCP}}]
endpoints:
- addresses: [127.0.0.1]
  conditions: {{ready: true}}
"
    )
}

fn service_yaml(service: usize) -> String {
    let name = service_name(service);
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec:
  ports: [{{name: http, port: 80, targetPort: 8080, protocol: TCP}}]
"
    )
}

fn gateway(port: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: fleetgate}}
spec: {{controllerName: fleetgate.dev/gateway}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: load, namespace: default}}
spec:
  gatewayClassName: fleetgate
  listeners: [{{name: http, port: {port}, protocol: HTTP}}]
"
    )
}

fn route_name(route: usize) -> String {
    format!("r{route:05}")
}

fn extra_name(number: usize) -> String {
    format!("x{number:05}")
}

fn service_name(service: usize) -> String {
    format!("s{service:03}")
}

#[cfg(test)]
mod tests {
    use super::{Directory, Files, Hosts, Ports};

    fn files(routes: usize, files: Files) -> (tempfile::TempDir, Directory, usize) {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(parent.path(), routes, Hosts::Own, files);
        directory.write(Ports { listener: 1, backend: 2 }).unwrap();
        let count = std::fs::read_dir(directory.root().join("routes")).unwrap().count();
        (parent, directory, count)
    }

    #[test]
    fn many_files_hold_a_route_each() {
        let (_keep, directory, count) = files(250, Files::Many);
        assert_eq!((count, directory.services()), (250, 3));
        assert!(directory.root().join("s002-endpoints.yaml").exists());
        assert!(!directory.root().join("routes.yaml").exists());
    }

    #[test]
    fn one_file_holds_all_but_the_editable_routes() {
        let (_keep, directory, count) = files(25, Files::One);
        assert_eq!(count, 10);
        let text = std::fs::read_to_string(directory.root().join("routes.yaml")).unwrap();
        assert_eq!(text.matches("kind: HTTPRoute").count(), 15);
    }

    #[test]
    fn hosts_decide_what_tells_routes_apart() {
        let own = Directory::new("/d".as_ref(), 10, Hosts::Own, Files::Many);
        let shared = Directory::new("/d".as_ref(), 10, Hosts::Shared, Files::Many);
        assert_eq!(own.target(3).host, "r00003.example.com");
        assert_eq!(own.target(3).path, "/");
        assert_eq!(shared.target(3).path, "/r00003");
        assert_eq!(shared.target(3).host, shared.extra_target(7).host);
        assert!(shared.route(3, Some("9")).contains("value: \"9\""));
    }

    #[test]
    fn the_steady_route_is_not_of_the_service_whose_endpoints_change() {
        for routes in [10, 11, 100, 101, 1000] {
            let directory = Directory::new("/d".as_ref(), routes, Hosts::Own, Files::Many);
            let steady = directory.steady_route();
            assert_ne!(directory.service_of(steady), 0);
            assert!(steady >= routes - 2);
        }
    }
}
