//! The objects that fleetgate is given, as YAML: one Gateway, routes, a Service per hundred routes.

/// Namespace and name of the Gateway.
pub(crate) const GATEWAY: &str = "default/load";
/// One of so many routes has a wildcard hostname with [`Hosts::Wildcard`].
const WILDCARD_EVERY: usize = 10;

/// What tells the routes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Hosts {
    /// Each route has its own hostname
    Own,
    /// One hostname, each route has its own path prefix
    Shared,
    /// As own, but every tenth route's is a wildcard
    Wildcard,
    /// No hostname, each route has its own path prefix
    None,
}

/// How the routes lie in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Files {
    /// One route a file
    Many,
    /// All but ten routes in one file
    One,
}

/// Who answers requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// The backend.
    Backend,
    /// Envoy itself, by a redirect.
    Redirect,
}

/// A route, of those that stay or of those that come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteId {
    /// Of the base.
    Base(usize),
    /// One that comes and goes.
    Extra(usize),
}

impl RouteId {
    /// Six digits, so that the order of names is the order of numbers up to a million routes.
    pub(crate) fn name(self) -> String {
        match self {
            RouteId::Base(number) => format!("r{number:06}"),
            RouteId::Extra(number) => format!("x{number:06}"),
        }
    }

    fn number(self) -> usize {
        match self {
            RouteId::Base(number) | RouteId::Extra(number) => number,
        }
    }
}

/// What a request must ask for to reach a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) path: String,
}

impl Hosts {
    /// How to reach a route.
    pub(crate) fn target(self, route: RouteId) -> Target {
        let name = route.name();
        let whole = |host: String| Target { host, path: "/".into() };
        match self {
            Hosts::Wildcard if is_wildcard(route) => whole(format!("x.w{name}.example.com")),
            Hosts::Own | Hosts::Wildcard => whole(format!("{name}.example.com")),
            Hosts::Shared => Target { host: "shared.example.com".into(), path: format!("/{name}") },
            Hosts::None => Target { host: "any.example.com".into(), path: format!("/{name}") },
        }
    }

    /// The hostname in a route's object.
    fn hostname(self, route: RouteId) -> Option<String> {
        match self {
            Hosts::Wildcard if is_wildcard(route) => Some(format!("*.w{}.example.com", route.name())),
            Hosts::None => None,
            _ => Some(self.target(route).host),
        }
    }
}

fn is_wildcard(route: RouteId) -> bool {
    route.number().is_multiple_of(WILDCARD_EVERY)
}

/// YAML of a route; `edit` is the value of a response header `x-edit`.
pub(crate) fn route(
    id: RouteId,
    hosts: Hosts,
    answers: Answers,
    service: usize,
    edit: Option<&str>,
) -> String {
    let name = id.name();
    let path = hosts.target(id).path;
    let hostnames =
        hosts.hostname(id).map_or_else(String::new, |host| format!("  hostnames: [\"{host}\"]\n"));
    let mut filters = String::new();
    if let Some(value) = edit {
        filters = format!(
            "    - type: ResponseHeaderModifier\n      responseHeaderModifier:\n        \
             set: [{{name: x-edit, value: \"{value}\"}}]\n"
        );
    }
    let to = match answers {
        Answers::Backend => format!("    backendRefs: [{{name: {}, port: 80}}]\n", service_name(service)),
        Answers::Redirect => {
            filters += "    - type: RequestRedirect\n      \
                        requestRedirect: {hostname: elsewhere.example.com, statusCode: 302}\n";
            String::new()
        }
    };
    let heading = if filters.is_empty() { "" } else { "    filters:\n" };
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: default}}
spec:
  parentRefs: [{{name: load}}]
{hostnames}  rules:
  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]
{to}{heading}{filters}"
    )
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

/// YAML of a Service.
pub(crate) fn service(service: usize) -> String {
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

/// YAML of the Gateway and its class.
pub(crate) fn gateway(port: u16) -> String {
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

/// Name of a Service.
pub(crate) fn service_name(service: usize) -> String {
    format!("s{service:04}")
}

#[cfg(test)]
mod tests {
    use super::{Answers, Hosts, RouteId, Target, route};

    fn target(hosts: Hosts, id: RouteId) -> (String, String) {
        let Target { host, path } = hosts.target(id);
        (host, path)
    }

    #[test]
    fn hosts_decide_what_tells_routes_apart() {
        let (three, last) = (RouteId::Base(3), RouteId::Base(99_999));
        assert_eq!(target(Hosts::Own, three), ("r000003.example.com".into(), "/".into()));
        assert_eq!(target(Hosts::Wildcard, last), target(Hosts::Own, last));
        let wild = target(Hosts::Wildcard, RouteId::Extra(20));
        assert_eq!(wild, ("x.wx000020.example.com".into(), "/".into()));
        assert_eq!(target(Hosts::Shared, last), ("shared.example.com".into(), "/r099999".into()));
        assert_eq!(target(Hosts::None, RouteId::Extra(7)).1, "/x000007");
    }

    #[test]
    fn only_routes_without_a_hostname_lack_the_field() {
        let text = |hosts, number| route(RouteId::Base(number), hosts, Answers::Backend, 1, None);
        assert!(!text(Hosts::None, 10).contains("hostnames"));
        assert!(text(Hosts::Wildcard, 10).contains("hostnames: [\"*.wr000010.example.com\"]"));
        assert!(text(Hosts::Wildcard, 11).contains("hostnames: [\"r000011.example.com\"]"));
    }

    #[test]
    fn a_redirect_has_no_backend() {
        let text = route(RouteId::Base(1), Hosts::Own, Answers::Redirect, 1, None);
        assert!(text.contains("RequestRedirect") && !text.contains("backendRefs"));
        let edited = route(RouteId::Base(1), Hosts::Own, Answers::Backend, 1, Some("9"));
        assert!(edited.contains("value: \"9\"") && edited.matches("filters:").count() == 1);
    }
}
