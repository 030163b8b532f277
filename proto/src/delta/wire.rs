//! The messages of `proto/delta.proto`, written by hand as those of events are; a test holds them to the schema.

use bytes::Bytes;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Delta {
    #[prost(uint32, tag = "1")]
    pub(super) schema: u32,
    #[prost(uint32, tag = "2")]
    pub(super) partition: u32,
    #[prost(uint64, tag = "3")]
    pub(super) epoch: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) log: Bytes,
    #[prost(uint64, tag = "5")]
    pub(super) revision: u64,
    #[prost(uint64, optional, tag = "6")]
    pub(super) base: Option<u64>,
    #[prost(int64, tag = "7")]
    pub(super) observed_unix_nanos: i64,
    #[prost(message, repeated, tag = "8")]
    pub(super) puts: Vec<Put>,
    #[prost(message, repeated, tag = "9")]
    pub(super) removes: Vec<XdsKey>,
    #[prost(message, repeated, tag = "10")]
    pub(super) reports: Vec<Report>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ObjectKey {
    #[prost(string, tag = "1")]
    pub(super) cluster: String,
    #[prost(string, tag = "2")]
    pub(super) kind: String,
    #[prost(string, tag = "3")]
    pub(super) namespace: String,
    #[prost(string, tag = "4")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct XdsKey {
    #[prost(message, optional, tag = "1")]
    pub(super) scope: Option<ObjectKey>,
    #[prost(uint32, tag = "2")]
    pub(super) kind: u32,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) domain: String,
    #[prost(string, tag = "5")]
    pub(super) route: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Put {
    #[prost(message, optional, tag = "1")]
    pub(super) key: Option<XdsKey>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) version: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) body: Bytes,
    #[prost(message, optional, tag = "4")]
    pub(super) private_key: Option<PrivateKeyRef>,
    #[prost(string, optional, tag = "5")]
    pub(super) up_to: Option<String>,
    #[prost(message, optional, tag = "6")]
    pub(super) routes: Option<RouteSet>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PrivateKeyRef {
    #[prost(message, optional, tag = "1")]
    pub(super) secret: Option<ObjectKey>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) certificate: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RouteSet {
    #[prost(uint32, tag = "1")]
    pub(super) specificity: u32,
    #[prost(string, tag = "2")]
    pub(super) created: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) entries: Vec<RouteEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RouteEntry {
    #[prost(uint64, tag = "1")]
    pub(super) order: u64,
    #[prost(string, optional, tag = "2")]
    pub(super) path: Option<String>,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) body: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Report {
    #[prost(message, optional, tag = "1")]
    pub(super) key: Option<ObjectKey>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) status: Option<Bytes>,
    #[prost(message, optional, tag = "3")]
    pub(super) gateway: Option<Gateway>,
    #[prost(message, repeated, tag = "4")]
    pub(super) parents: Vec<Gateway>,
    #[prost(message, repeated, tag = "5")]
    pub(super) ancestors: Vec<Gateway>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Gateway {
    #[prost(message, optional, tag = "1")]
    pub(super) key: Option<ObjectKey>,
}
