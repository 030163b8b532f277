//! The ground floor: keys of nodes, and what nodes say to each other.

mod keys;
pub(crate) mod names;
mod values;

pub(crate) use keys::{BackendKey, ClusterKey, IndexKey, NodeKey};
pub(crate) use values::{
    AttachedSet, Attachment, BackendIr, ClientValidationIr, Context, ExternalAuthIr, GatewayIr, L4Backend,
    L4RouteIr, ListenerIr, Scheme, TlsIr, UpstreamProtocol, UpstreamTls, Value, Verdict, VirtualHostRole,
};
