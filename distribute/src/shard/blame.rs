//! Whose fault a NACK is.

use std::collections::BTreeMap;

use proto::{Kind, ResourceKey, Revision, XdsKey, XdsKind};
use store::EventLog;
use translate::Engine;

use crate::{Cause, Feedback};

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

/// What the proxies have ACKed, and who is blamed for what they did not.
#[derive(Debug, Default)]
pub(super) struct Blames {
    acked: BTreeMap<(ResourceKey, String), Revision>,
    refused: BTreeMap<XdsKey, Refused>,
}

#[derive(Debug)]
struct Refused {
    /// The last revision at which the piece was good.
    good: Revision,
    message: String,
    blamed: Vec<Blame>,
}

impl Blames {
    /// Takes note of what a proxy said; the blame for a NACK.
    pub(super) async fn feedback(
        &mut self,
        feedback: &Feedback,
        engine: &Engine,
        log: &dyn EventLog,
    ) -> Vec<Blame> {
        match feedback {
            Feedback::Acked { proxy, scope, revision } => {
                self.acked.insert((scope.clone(), proxy.clone()), *revision);
            }
            Feedback::Disconnected { proxy, scope } => {
                self.acked.remove(&(scope.clone(), proxy.clone()));
            }
            Feedback::Healed { keys, .. } => {
                for key in keys {
                    self.refused.remove(key);
                }
            }
            Feedback::Nacked { proxy, scope, keys, message, cause, .. } => {
                let proxy = (scope.clone(), proxy.clone());
                let acked = self.acked.get(&proxy).copied().unwrap_or(Revision::NONE);
                let mut blamed = Vec::new();
                for piece in keys {
                    blamed.extend(self.refuse(piece, message, *cause, acked, engine, log).await);
                }
                return blamed;
            }
            Feedback::Connected { .. } | Feedback::FellBack { .. } => {}
        }
        Vec::new()
    }

    async fn refuse(
        &mut self,
        piece: &XdsKey,
        message: &str,
        cause: Cause,
        acked: Revision,
        engine: &Engine,
        log: &dyn EventLog,
    ) -> Vec<Blame> {
        if let Some(refused) = self.refused.get(piece)
            && refused.message == message
        {
            // The same complaint: whoever changed since did not cause it.
            return refused.blamed.iter().map(|blame| Blame { cause, ..blame.clone() }).collect();
        }
        let good = self.refused.get(piece).map_or(acked, |refused| refused.good);
        let owners = newer_owners(piece, good, engine, log).await;
        let blame = |object| Blame { object, piece: piece.clone(), message: message.to_owned(), cause };
        let blamed: Vec<Blame> = owners.into_iter().map(blame).collect();
        let refused = Refused { good, message: message.to_owned(), blamed: blamed.clone() };
        self.refused.insert(piece.clone(), refused);
        blamed
    }
}

/// The objects in a piece that changed after it was last good; all of them if none did.
async fn newer_owners(
    piece: &XdsKey,
    good: Revision,
    engine: &Engine,
    log: &dyn EventLog,
) -> Vec<ResourceKey> {
    let owners = engine.owners(piece);
    let mut newer = Vec::new();
    for owner in &owners {
        match log.newest(owner).await {
            Ok(Some((revision, _))) if revision > good => newer.push(owner.clone()),
            Ok(_) => {}
            Err(error) => tracing::warn!("cannot tell whether {owner} is to blame for a NACK: {error}"),
        }
    }
    likeliest(piece.kind, newer, owners)
}

/// A virtual host is made of routes, a listener of its Gateway: when such an object is among the owners, the
/// Gateways, Namespaces and Services that they read are not to blame, though they may be newer.
fn likeliest(piece: XdsKind, newer: Vec<ResourceKey>, owners: Vec<ResourceKey>) -> Vec<ResourceKey> {
    let kinds: &[Kind] = match piece {
        XdsKind::VirtualHost | XdsKind::Routes => &[Kind::HTTP_ROUTE, Kind::GRPC_ROUTE],
        XdsKind::Listener | XdsKind::ScopedListener | XdsKind::RouteTable => &[Kind::GATEWAY],
        XdsKind::Cluster => &[Kind::BACKEND_TLS_POLICY, Kind::SERVICE],
        XdsKind::Endpoints => &[Kind::ENDPOINT_SLICE],
        XdsKind::Secret => &[Kind::SECRET, Kind::CONFIG_MAP],
    };
    let choices = [&newer, &owners].into_iter().flat_map(|of| kinds.iter().map(move |kind| (of, kind)));
    for (of, kind) in choices {
        let of_kind: Vec<ResourceKey> = of.iter().filter(|key| key.kind == *kind).cloned().collect();
        if !of_kind.is_empty() {
            return of_kind;
        }
    }
    if newer.is_empty() { owners } else { newer }
}

#[cfg(test)]
mod tests {
    use proto::{Kind, ResourceKey, XdsKind};

    use super::likeliest;

    #[test]
    fn a_route_is_blamed_for_its_virtual_host_before_its_namespace() {
        let route = ResourceKey::local(Kind::HTTP_ROUTE, "a", "r");
        let namespace = ResourceKey::local(Kind::NAMESPACE, "", "a");
        let both = vec![namespace.clone(), route.clone()];
        let blamed = |newer: &[ResourceKey]| likeliest(XdsKind::VirtualHost, newer.to_vec(), both.clone());
        for newer in [&both[..], &[], std::slice::from_ref(&namespace)] {
            assert_eq!(blamed(newer), std::slice::from_ref(&route), "{newer:?}");
        }
        let alone = vec![namespace];
        assert_eq!(likeliest(XdsKind::VirtualHost, alone.clone(), alone.clone()), alone);
    }
}
