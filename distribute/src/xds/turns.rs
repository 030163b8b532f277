//! Which of the route tables that changed at once go out in one push.
//!
//! Envoy takes the tables of a push one by one, in no order that it promises. So tables that gain hosts go out
//! and are ACKed before those that keep theirs, and those that lose hosts come last: a route that moves to a
//! wider or narrower host is at every moment found in one of them.

use std::collections::{BTreeMap, BTreeSet};

use proto::ArcStr;

use super::session::Mark;
use crate::{resource::ResourceType, scope::Scope, tables::Turn};

/// The turns of one push; all is one turn for types other than routes.
#[derive(Debug, Default)]
pub(super) struct Turns {
    ordered: bool,
    /// The turn of what goes out, or waits to.
    now: Option<Turn>,
    /// What tables wait for that cannot go out yet: it has no turn to wait for.
    awaited: BTreeSet<String>,
}

impl Turns {
    /// The names in the order of their turns.
    pub(super) fn ordered(
        &mut self,
        names: BTreeMap<ArcStr, Mark>,
        kind: ResourceType,
        scope: &Scope,
    ) -> Vec<(ArcStr, Mark)> {
        let mut names: Vec<(ArcStr, Mark)> = names.into_iter().collect();
        self.ordered = kind == ResourceType::Route && names.len() > 1;
        if self.ordered {
            names.sort_by_cached_key(|(name, _)| scope.turn(name));
        }
        names
    }

    /// True unless tables with an earlier turn are not done.
    pub(super) fn has_come(&self, name: &ArcStr, scope: &Scope) -> bool {
        self.now.is_none_or(|now| scope.turn(name) <= now || self.awaited.contains(name.as_str()))
    }

    /// A table goes out.
    pub(super) fn goes(&mut self, name: &ArcStr, scope: &Scope) {
        if self.ordered {
            self.now.get_or_insert_with(|| scope.turn(name));
        }
    }

    /// A table must wait for some that it leads to, which the proxy does not have.
    pub(super) fn waits(&mut self, name: &ArcStr, lacks: Vec<String>, scope: &Scope) {
        if self.ordered {
            self.now.get_or_insert_with(|| scope.turn(name));
            self.awaited.extend(lacks);
        }
    }
}
