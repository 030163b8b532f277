//! What an engine computes.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use proto::{Fault, Kind, ResourceKey, XdsKey};

use crate::{Cx, IndexEntry, Output};

/// The nodes of a computation, what they give each other, and what objects bring along.
///
/// A node reads objects, buckets of indexes and nodes of lower levels; it demands nodes of higher levels. So one
/// pass over the levels is enough.
pub trait Graph: Clone + Debug + PartialEq + Sized + 'static {
    /// Settings: constant for the life of an engine.
    type Env: Clone + Debug;
    /// An object as nodes see it.
    type Object: Debug;
    /// Names a node: what is computed, and for what.
    type Node: Clone + Debug + Ord + Hash;
    /// What a node gives to its readers. The default is nothing.
    type Value: Clone + Debug + Default + PartialEq;
    /// Names a bucket of an index. Its members are objects.
    type Index: Clone + Debug + Ord + Hash;

    /// How many levels there are.
    const LEVELS: usize;

    /// Where in the order of computation a node stands, below [`Graph::LEVELS`].
    fn level(node: &Self::Node) -> usize;

    /// Name of the stage that a node belongs to, as a metric label.
    fn stage(node: &Self::Node) -> &'static str;

    /// Decodes an object.
    ///
    /// # Errors
    /// A fault of the object; it is left out until it is mended.
    fn decode(key: &ResourceKey, json: &[u8]) -> Result<Self::Object, Fault>;

    /// What an object puts into indexes, and which nodes live as long as it does.
    fn roots(key: &ResourceKey, object: &Self::Object) -> (Vec<IndexEntry<Self>>, Vec<Self::Node>);

    /// Computes a node. Pure: all that it reads comes through `cx`.
    fn compute(node: &Self::Node, cx: &mut Cx<'_, Self>) -> Output<Self>;

    /// The object that learns of it when the computation of a node fails.
    fn subject(node: &Self::Node) -> ResourceKey;

    /// The one node that may report on an object.
    fn reporter(object: &ResourceKey) -> Option<Self::Node>;

    /// The node that a piece comes of, where its key says so.
    fn node_of(piece: &XdsKey) -> Option<Self::Node>;
}

/// A type that objects of one kind are decoded to.
pub trait Model<G: Graph>: Sized {
    /// Its group and kind.
    const KIND: Kind;

    /// The decoded object, if it is one of this kind and is kept decoded.
    fn of(object: &G::Object) -> Option<Arc<Self>>;

    /// Decodes an object that is not kept decoded.
    ///
    /// # Errors
    /// A fault of the object.
    fn parse(key: &ResourceKey, json: &[u8]) -> Result<Self, Fault>;
}
