//! The routes of the scenario: what is written of each, and what Envoy must answer.

use std::fmt::Write as _;

/// Routes, half of them on each of two listeners.
pub(super) const ROUTES: usize = 24;
/// A regular expression that is one, but with more repetitions than Envoy's engine takes.
const REFUSED: &str = "/a{1001}";

/// What a route is at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    /// Number of the version that is written; none if there is no route.
    pub(super) written: Option<u32>,
    /// True if Envoy refuses that version.
    pub(super) bad: bool,
    /// The last version that was live.
    pub(super) live: Option<u32>,
}

/// A small generator: the same edits for the same seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_add(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }
}

impl Route {
    /// What the version that must be answered with redirects to; none: 404.
    pub(super) fn answer(&self) -> Option<String> {
        let version = if self.bad { self.live } else { self.written };
        version.filter(|_| self.written.is_some()).map(|version| format!("v{version}.test"))
    }

    /// Rewrites it at random.
    pub(super) fn edit(&mut self, version: u32, random: &mut Random) {
        match random.below(10) {
            0 => (self.written, self.bad) = (None, false),
            kind => (self.written, self.bad) = (Some(version), kind < 5),
        }
    }
}

/// A host that a route answers for: every fourth route has a wildcard.
pub(super) fn host(route: usize) -> String {
    hostname(route).replace("*.", "a.")
}

fn hostname(route: usize) -> String {
    let wild = if route % 8 < 2 { "*." } else { "a." };
    format!("{wild}r{route}.test")
}

/// The Gateway: two listeners, and a third if a port is given.
pub(super) fn gateway(ports: [u16; 2], third: Option<u16>) -> String {
    let mut text = String::from(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: fleetgate}
spec: {controllerName: fleetgate.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: load, namespace: default}
spec:
  gatewayClassName: fleetgate
  listeners:
",
    );
    let names = ["one", "two", "three"].into_iter();
    for (name, port) in names.zip(ports.into_iter().chain(third)) {
        let _ = writeln!(text, "  - {{name: {name}, port: {port}, protocol: HTTP}}");
    }
    text
}

/// All routes, in one file: one write is one change.
pub(super) fn routes(routes: &[Route]) -> String {
    let mut text = String::new();
    for (number, route) in routes.iter().enumerate() {
        let Some(version) = route.written else { continue };
        let (section, hostname) = (["one", "two"][number % 2], hostname(number));
        let matches = match route.bad {
            true => format!("{{type: RegularExpression, value: '{REFUSED}'}}"),
            false => "{value: /}".to_owned(),
        };
        let _ = write!(
            text,
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r{number}, namespace: default}}
spec:
  parentRefs: [{{name: load, sectionName: {section}}}]
  hostnames: ['{hostname}']
  rules:
  - matches: [{{path: {matches}}}]
    filters:
    - type: RequestRedirect
      requestRedirect: {{hostname: v{version}.test, statusCode: 302}}
"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Random, Route};

    #[test]
    fn a_bad_version_is_answered_with_the_last_live_one() {
        let route = |written, bad, live| Route { written, bad, live };
        assert_eq!(route(Some(2), false, Some(1)).answer().as_deref(), Some("v2.test"));
        assert_eq!(route(Some(2), true, Some(1)).answer().as_deref(), Some("v1.test"));
        assert_eq!(route(Some(2), true, None).answer(), None);
        assert_eq!(route(None, false, Some(1)).answer(), None);
    }

    #[test]
    fn a_seed_decides_the_edits() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            (0..50).map(|_| random.below(10)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
    }
}
