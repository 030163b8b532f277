//! What proxies have to say of what they are served, and whose fault it is.

use crate::{ResourceKey, Revision, XdsKey};

/// Why a proxy refused something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// It will not take this version, and keeps an older one.
    Content,
    /// It will not take this version of what is in a table with others, and no other is known to be good: nothing is
    /// served of it.
    Unserved,
    /// Something outside of the configuration, such as a port that another process holds; it is tried again.
    Circumstance,
}

/// What a proxy has to say.
#[derive(Clone, Debug)]
pub enum Feedback {
    /// A proxy opened its first stream.
    Connected {
        /// Its `node.id`.
        proxy: String,
        /// Its Gateway.
        scope: ResourceKey,
        /// True if it is given small route tables to walk.
        walks: bool,
    },
    /// It cannot load the module after all, and is given whole route tables.
    FellBack {
        /// Its `node.id`.
        proxy: String,
        /// Its Gateway.
        scope: ResourceKey,
        /// What it said.
        message: String,
    },
    /// Its last stream ended.
    Disconnected {
        /// Its `node.id`.
        proxy: String,
        /// Its Gateway.
        scope: ResourceKey,
    },
    /// It has everything of its scope up to a revision.
    Acked {
        /// Its `node.id`.
        proxy: String,
        /// Its Gateway.
        scope: ResourceKey,
        /// The revision.
        revision: Revision,
    },
    /// It refused a push. When several pieces may be to blame, `keys` is empty, and another one follows
    /// once they have been tried apart.
    Nacked {
        /// Its `node.id`.
        proxy: String,
        /// Its Gateway.
        scope: ResourceKey,
        /// The scope's revision when it was pushed.
        revision: Revision,
        /// The pieces to blame.
        keys: Vec<XdsKey>,
        /// What the proxy said, of these pieces if it told them apart, in one line.
        message: String,
        /// Why.
        cause: Cause,
    },
    /// Pieces that were to blame are gone, or the proxies that refused them have ACKed them or are gone.
    Healed {
        /// The Gateway.
        scope: ResourceKey,
        /// The pieces.
        keys: Vec<XdsKey>,
    },
}

/// An object whose content a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame {
    /// The object.
    pub object: ResourceKey,
    /// The piece that has its content.
    pub piece: XdsKey,
    /// What the proxy said.
    pub message: String,
    /// Why.
    pub cause: Cause,
}
