//! A push without an answer.

use std::sync::Arc;

use proto::{ArcStr, ContentHash, Revision, XdsKey};

use super::{session::Mark, subscriptions::Sent};
use crate::tables::TableVersion;

/// What went out under one nonce.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) nonce: u64,
    /// The scope's revision then.
    pub(crate) revision: Revision,
    pub(crate) items: Vec<Item>,
    /// First of the changes that the push contains.
    pub(crate) mark: Option<Mark>,
    /// The piece on trial that alone makes the push differ from what the proxy accepted.
    pub(crate) solo: Option<XdsKey>,
}

/// A resource of a push.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) name: ArcStr,
    pub(crate) version: ContentHash,
    /// Position of the scope that the content is from.
    pub(crate) seq: u64,
    /// What the proxy had before.
    pub(crate) previous: Option<Sent>,
    /// For an EDS cluster, the endpoint set that it needs.
    pub(crate) endpoints: Option<ArcStr>,
    /// A route table to walk.
    pub(crate) table: Option<Arc<TableVersion>>,
    /// True if it is not what the scope serves, but leads there.
    pub(crate) interim: bool,
    /// The subscription that it is for.
    pub(crate) since: Option<u64>,
    /// Its pieces that no proxy had answered to.
    pub(crate) unproven: Vec<XdsKey>,
}

impl Push {
    /// True if it has resources that the proxy did not have before.
    pub(crate) fn adds(&self) -> bool {
        self.items.iter().any(|item| item.previous.is_none())
    }
}
