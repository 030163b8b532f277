//! The messages of `proto/event.proto`, written by hand: a parser and a generator of Rust would cost every first build
//! more than a minute, for three messages. A test of [`super::Event`] holds them to the schema.

use bytes::Bytes;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceEvent {
    #[prost(uint32, tag = "1")]
    pub(super) schema: u32,
    #[prost(string, tag = "2")]
    pub(super) cluster: String,
    #[prost(string, tag = "3")]
    pub(super) kind: String,
    #[prost(string, tag = "4")]
    pub(super) namespace: String,
    #[prost(string, tag = "5")]
    pub(super) name: String,
    #[prost(string, tag = "6")]
    pub(super) uid: String,
    #[prost(string, tag = "7")]
    pub(super) resource_version: String,
    #[prost(int64, tag = "8")]
    pub(super) generation: i64,
    #[prost(uint64, tag = "9")]
    pub(super) epoch: u64,
    #[prost(int64, tag = "10")]
    pub(super) observed_unix_nanos: i64,
    #[prost(string, tag = "11")]
    pub(super) trace_parent: String,
    #[prost(oneof = "Change", tags = "12, 13, 14")]
    pub(super) change: Option<Change>,
}

/// The fields that stay what they are in every version of [`ResourceEvent`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Head {
    #[prost(uint32, tag = "1")]
    pub(super) schema: u32,
    #[prost(string, tag = "2")]
    pub(super) cluster: String,
    #[prost(string, tag = "3")]
    pub(super) kind: String,
    #[prost(string, tag = "4")]
    pub(super) namespace: String,
    #[prost(string, tag = "5")]
    pub(super) name: String,
    #[prost(string, tag = "6")]
    pub(super) uid: String,
    #[prost(string, tag = "7")]
    pub(super) resource_version: String,
    #[prost(int64, tag = "8")]
    pub(super) generation: i64,
    #[prost(uint64, tag = "9")]
    pub(super) epoch: u64,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Change {
    #[prost(bytes = "bytes", tag = "12")]
    Upsert(Bytes),
    #[prost(message, tag = "13")]
    Delete(Delete),
    #[prost(message, tag = "14")]
    Synced(Synced),
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Delete {}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Synced {
    #[prost(uint64, tag = "1")]
    pub(super) sweep_before: u64,
}
