//! Whole xDS resources, put together from the translator's pieces, for people to read.

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

/// The resources made of `puts`, those of one Gateway if it is given. Virtual hosts are appended to
/// their route table: encoded repeated fields concatenate.
pub(crate) fn assemble(puts: &BTreeMap<XdsKey, Put>, gateway: Option<&ResourceKey>) -> Vec<Resource> {
    let mut resources: BTreeMap<(ResourceKey, XdsKind, String), Resource> = BTreeMap::new();
    for put in puts.values().filter(|put| gateway.is_none_or(|gateway| put.key.scope == *gateway)) {
        let is_host = put.key.kind == XdsKind::VirtualHost;
        let kind = if is_host { XdsKind::RouteTable } else { put.key.kind };
        let name = put.key.name.to_string();
        let resource =
            resources.entry((put.key.scope.clone(), kind, name.clone())).or_insert_with(|| Resource {
                gateway: put.key.scope.namespaced_name(),
                message: kind.message_name(),
                name,
                version: ContentHash::default(),
                body: Vec::new(),
            });
        if is_host {
            append_host(&mut resource.body, &put.body);
            resource.version = resource.version.with(ContentHash::of_named(&put.key.domain, &put.body));
        } else {
            resource.body.extend_from_slice(&put.body);
            resource.version = resource.version.with(put.version);
        }
    }
    resources.into_values().collect()
}

/// Field 2 of RouteConfiguration, `virtual_hosts`: tag, length, message.
fn append_host(table: &mut Vec<u8>, host: &[u8]) {
    table.push(0x12);
    let mut length = host.len();
    while length >= 0x80 {
        table.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    table.push(length as u8);
    table.extend_from_slice(host);
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

    use proto::{ContentHash, Kind, Put, ResourceKey, XdsKey, XdsKind};

    use super::{assemble, to_json};

    fn put(key: XdsKey, body: &[u8]) -> (XdsKey, Put) {
        let body = bytes::Bytes::copy_from_slice(body);
        (key.clone(), Put { key, version: ContentHash::of(&body), body, private_key: None })
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
