//! How a request finds its route table: shared by the distributor, which lays the tables out, and by
//! the proxy module, which walks them.
//!
//! A listener's routes are a tree of tables. A table's name is the key of its scope, and the value of
//! [`TABLE_HEADER`] of a request that is routed by it. Where a table has a [`Step`] instead of routes,
//! the module takes it: it names the next table, by a hash of the host or hashes of the path.

mod host;
mod leaves;
mod names;
mod paths;
mod step;

pub use host::{hash, host_of, labels, segments, suffix, wider};
pub use leaves::{Leaf, Leaves, MAX_DEPTH};
pub use names::{SEPARATOR, root, routes_of};
pub use paths::{MAX_SEGMENTS, Paths, REST, push_hash};
pub use step::{ParseError, Request, Step, Walk};

/// Request header with the name of the table that routes the request. Set by the proxy whatever the client
/// sent, removed before the request leaves it.
pub const TABLE_HEADER: &str = "x-fleetgate-table";

/// Key in `node.metadata` by which an Envoy says that it has the module; the value is [`MODULE_VERSION`].
pub const METADATA_KEY: &str = "fleetgate.dev/proxy-module";

/// What the module understands; a module of another version is not given tables to walk.
pub const MODULE_VERSION: &str = "1";

/// The Envoy that the module is made for, major and minor: the ABI of dynamic modules is as of that version.
pub const ENVOY_VERSION: (u32, u32) = (1, 40);

/// Name of the module: Envoy loads `lib<name>.so`.
pub const MODULE_NAME: &str = "fleetgate_proxy";

/// Name of the module's HTTP filter that takes steps.
pub const FILTER_NAME: &str = "fleetgate.dev/walk";
