//! What nodes are computed with: the engine's types for this graph.

/// Translation of the Gateway API, as a graph of nodes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatewayApi;

/// The only way for a node to read anything.
pub(crate) type Cx<'a> = engine::Cx<'a, GatewayApi>;
/// What a node comes to.
pub(crate) type Output = engine::Output<GatewayApi>;
/// One member of one bucket.
pub(crate) type IndexEntry = engine::IndexEntry<GatewayApi>;
