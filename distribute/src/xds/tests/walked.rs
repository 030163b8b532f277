//! Route tables as an Envoy has them, and the walk of a request through them.

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration, route_match::PathSpecifier};
use envoy_types::pb::envoy::extensions::filters::http::dynamic_modules::v3::DynamicModuleFilterPerRoute;
use envoy_types::pb::google::protobuf::StringValue;
use lookup::{Request, Step, Walk};
use prost::Message;

enum Outcome {
    Route(String),
    Step(Step),
}

/// A table as Envoy has it.
pub(super) struct Table {
    hosts: BTreeMap<String, Vec<(PathSpecifier, Outcome)>>,
}

impl Table {
    pub(super) fn new(name: &str, body: &[u8]) -> Table {
        let config = RouteConfiguration::decode(body).unwrap();
        assert_eq!(config.name, name);
        let mut hosts = BTreeMap::new();
        for host in config.virtual_hosts {
            let routes = host.routes.into_iter().map(|route| {
                let path = route.r#match.as_ref().unwrap().path_specifier.clone().unwrap();
                (path, step(&route).map_or(Outcome::Route(route.name), Outcome::Step))
            });
            let [domain] = host.domains.try_into().unwrap();
            let before = hosts.insert(domain, routes.collect());
            assert!(before.is_none(), "Envoy refuses a domain that comes twice");
        }
        Table { hosts }
    }

    /// The most specific domain, then its first route that matches.
    fn find(&self, request: &Request<'_>) -> Option<&Outcome> {
        let host = std::str::from_utf8(request.authority).unwrap();
        let path = std::str::from_utf8(request.path).unwrap();
        let domains = std::iter::once(host.to_owned()).chain(lookup::wider(host));
        let routes = domains.into_iter().find_map(|domain| self.hosts.get(&domain))?;
        let matches = |specifier: &PathSpecifier| match specifier {
            PathSpecifier::Prefix(prefix) => path.starts_with(prefix.as_str()),
            PathSpecifier::PathSeparatedPrefix(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            other => panic!("{other:?}"),
        };
        routes.iter().find(|(path, _)| matches(path)).map(|(_, outcome)| outcome)
    }
}

fn step(route: &Route) -> Option<Step> {
    let any = route.typed_per_filter_config.get(lookup::FILTER_NAME)?;
    let config = DynamicModuleFilterPerRoute::decode(any.value.as_slice()).unwrap();
    let text = StringValue::decode(config.filter_config.unwrap().value.as_slice()).unwrap().value;
    Some(Step::parse(text.as_bytes()).unwrap())
}

/// By name.
pub(super) type Held = BTreeMap<String, Arc<Table>>;

/// The route of a request, none for 404.
pub(super) fn walk(held: &Held, routes: &str, request: &Request<'_>) -> Option<String> {
    let mut table = lookup::root(routes);
    let mut state = Walk::default();
    for _ in 0..20 {
        match held.get(&table)?.find(request)? {
            Outcome::Route(name) => return Some(name.clone()),
            Outcome::Step(step) => step.take(request, &mut state, &mut table),
        }
    }
    panic!("the walk does not end");
}
