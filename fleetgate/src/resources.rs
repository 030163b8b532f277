//! Whole xDS resources, for people to read.

use std::collections::BTreeMap;

use proto::json::Printer;
use proto::{ContentHash, Put, ResourceKey, XdsKey, XdsKind};
use serde_json::Value;

/// One resource as a proxy gets it; of a secret all but the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// `namespace/name` of its Gateway.
    pub(crate) gateway: String,
    /// Full name of its message.
    pub(crate) message: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// Hash of its content.
    pub(crate) version: ContentHash,
    /// Its encoded message.
    pub(crate) body: Vec<u8>,
}

/// The resources made of `puts`, those of one Gateway if it is given: as proxies get them that are given whole
/// route tables.
pub(crate) fn assemble(puts: &BTreeMap<XdsKey, Put>, gateway: Option<&ResourceKey>) -> Vec<Resource> {
    let puts: Vec<&Put> =
        puts.values().filter(|put| gateway.is_none_or(|gateway| put.key.scope == *gateway)).collect();
    let is_table = |kind| matches!(kind, XdsKind::RouteTable | XdsKind::VirtualHost | XdsKind::Routes);
    let singles =
        puts.iter().filter(|put| !is_table(put.key.kind) && put.key.kind != XdsKind::ScopedListener);
    let singles =
        singles.map(|put| (&put.key.scope, put.key.kind, &put.key.name, put.version, put.body.clone()));
    let tables = distribute::whole_tables(puts.iter().copied());
    let tables =
        tables.iter().map(|one| (&one.scope, XdsKind::RouteTable, &one.name, one.version, one.body.clone()));
    let mut all: Vec<_> = singles.chain(tables).collect();
    all.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
    let resource =
        |(scope, kind, name, version, body): (&ResourceKey, XdsKind, &proto::ArcStr, _, bytes::Bytes)| {
            Resource {
                gateway: scope.namespaced_name(),
                message: kind.message_name(),
                name: name.to_string(),
                version,
                body: body.to_vec(),
            }
        };
    all.into_iter().map(resource).collect()
}

/// The canonical JSON form of a message.
///
/// # Errors
/// If the bytes are no such message.
pub(crate) fn to_json(printer: &Printer, message: &str, body: &[u8]) -> anyhow::Result<Value> {
    Ok(printer.to_json(message, body)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proto::{Kind, Put, ResourceKey, XdsKey, XdsKind};

    use super::{assemble, to_json};

    fn put(key: XdsKey, body: &[u8]) -> (XdsKey, Put) {
        (key.clone(), Put::new(key, body.to_vec()))
    }

    /// Field 1, the name of both messages.
    fn named(name: &str) -> Vec<u8> {
        [&[0x0a, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat()
    }

    #[test]
    fn a_route_table_has_its_hosts() {
        let scope = ResourceKey::local(Kind::GATEWAY, "a", "b");
        let other = ResourceKey::local(Kind::GATEWAY, "a", "c");
        let long = "x".repeat(100);
        let mut long_host = named(&long);
        long_host.extend([0x12, 100]);
        long_host.extend(long.as_bytes());
        let puts = BTreeMap::from([
            put(XdsKey::new(scope.clone(), XdsKind::RouteTable, "t"), &named("t")),
            put(XdsKey::virtual_host(scope.clone(), "t", "*"), &named("any")),
            put(XdsKey::virtual_host(scope.clone(), "t", "z"), &long_host),
            put(XdsKey::new(other, XdsKind::Cluster, "c"), &named("c")),
        ]);
        assert_eq!(assemble(&puts, None).len(), 2);
        let tables = assemble(&puts, Some(&scope));
        let printer = proto::json::Printer::new().unwrap();
        let json = to_json(&printer, tables[0].message, &tables[0].body).unwrap();
        assert_eq!(json["name"], "t");
        assert_eq!(json["virtual_hosts"][0]["name"], "any");
        assert_eq!(json["virtual_hosts"][1]["domains"][0], long);
    }
}
