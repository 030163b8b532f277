//! A Kubernetes API server: the source of events, and where statuses and managed proxies go.

pub mod proxies;
pub mod source;
pub mod status;
