//! What an Envoy has asked for on one stream, so that it is answered once.

use std::collections::{HashMap, HashSet};

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

/// Resources asked for, by type.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    names: HashMap<String, HashSet<String>>,
}

/// What a request asks for that none before it did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum New {
    Nothing,
    /// The first request of a type.
    All(String),
    /// A later one. What a recorded update makes Envoy ask for is in that update, not in the base.
    Names(String, HashSet<String>),
}

impl Asked {
    /// Remembers what the request asks for.
    pub(crate) fn note(&mut self, request: &DeltaDiscoveryRequest) -> New {
        let kind = request.type_url.clone();
        let first = !self.names.contains_key(&kind);
        let known = self.names.entry(kind.clone()).or_default();
        let subscribed = request.resource_names_subscribe.iter().cloned();
        let new: HashSet<String> = subscribed.filter(|name| known.insert(name.clone())).collect();
        match (first, new.is_empty()) {
            (true, _) => New::All(kind),
            (false, true) => New::Nothing,
            (false, false) => New::Names(kind, new),
        }
    }
}

impl New {
    /// The part of what was recorded that answers this.
    pub(crate) fn of(&self, base: &[DeltaDiscoveryResponse]) -> Vec<DeltaDiscoveryResponse> {
        match self {
            New::Nothing => Vec::new(),
            New::All(kind) => base.iter().filter(|response| response.type_url == *kind).cloned().collect(),
            New::Names(kind, names) => {
                let responses = base.iter().filter(|response| response.type_url == *kind).cloned();
                let cut = responses.map(|mut response| {
                    response.resources.retain(|resource| names.contains(&resource.name));
                    response.removed_resources.clear();
                    response
                });
                cut.filter(|response| !response.resources.is_empty()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::service::discovery::v3::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource,
    };

    use super::{Asked, New};

    fn request(kind: &str, names: &[&str]) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            type_url: kind.into(),
            resource_names_subscribe: names.iter().map(|name| (*name).into()).collect(),
            ..Default::default()
        }
    }

    fn response(kind: &str, names: &[&str]) -> DeltaDiscoveryResponse {
        let resource = |name: &&str| Resource { name: (*name).into(), ..Default::default() };
        DeltaDiscoveryResponse {
            type_url: kind.into(),
            resources: names.iter().map(resource).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn the_first_request_of_a_type_gets_all_of_it() {
        let base = [response("lds", &["l"]), response("rds", &["a", "b"]), response("rds", &["c"])];
        let new = Asked::default().note(&request("rds", &["a"]));
        assert_eq!(new, New::All("rds".into()));
        assert_eq!(new.of(&base), base[1..]);
    }

    #[test]
    fn later_ones_get_what_is_new_and_in_the_base() {
        let base = [response("rds", &["a", "b"]), response("rds", &["c"])];
        let mut asked = Asked::default();
        asked.note(&request("rds", &["a"]));
        assert_eq!(asked.note(&request("rds", &["a"])), New::Nothing);
        let split = asked.note(&request("rds", &["a/0", "a/1"]));
        assert_eq!(split.of(&base), []);
        assert_eq!(asked.note(&request("rds", &["b"])).of(&base), [response("rds", &["b"])]);
        assert_eq!(asked.note(&request("rds", &[])), New::Nothing);
    }
}
