//! A route table without its virtual hosts: those are pieces of their own, joined by whoever serves it.

use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use proto::{ArcStr, ResourceKey, XdsKey, XdsKind};

use super::put;
use crate::cx::Output;
use crate::ir::Value;

pub(crate) fn compute(gateway: &ResourceKey, table: &ArcStr) -> Output {
    let header = RouteConfiguration {
        name: table.to_string(),
        // Hosts are compared without their port, but reach the backend as they came.
        ignore_port_in_host_matching: true,
        // Of use inside the proxy alone; whatever a client sends under this name goes no further either.
        request_headers_to_remove: vec![lookup::TABLE_HEADER.to_owned()],
        ..RouteConfiguration::default()
    };
    let mut output = Output::of(Value::Absent);
    output.puts.push(put(XdsKey::new(gateway.clone(), XdsKind::RouteTable, table.clone()), &header));
    output
}
