//! Whose fault a NACK is.

use std::collections::BTreeMap;

use proto::{Blame, Cause, Feedback, Kind, ResourceKey, Revision, XdsKey, XdsKind};

use crate::Machine;

/// What the proxies have ACKed, and who is blamed for what they did not.
#[derive(Debug, Default)]
pub(crate) struct Blames {
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
    pub(crate) fn feedback(&mut self, feedback: &Feedback, machine: &impl Machine) -> Vec<Blame> {
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
                    blamed.extend(self.refuse(piece, message, *cause, acked, machine));
                }
                return blamed;
            }
            Feedback::Connected { .. } | Feedback::FellBack { .. } => {}
        }
        Vec::new()
    }

    fn refuse(
        &mut self,
        piece: &XdsKey,
        message: &str,
        cause: Cause,
        acked: Revision,
        machine: &impl Machine,
    ) -> Vec<Blame> {
        if let Some(refused) = self.refused.get(piece)
            && refused.message == message
        {
            // The same complaint: whoever changed since did not cause it.
            return refused.blamed.iter().map(|blame| Blame { cause, ..blame.clone() }).collect();
        }
        let good = self.refused.get(piece).map_or(acked, |refused| refused.good);
        let owners = newer_owners(piece, good, machine);
        let blame = |object| Blame { object, piece: piece.clone(), message: message.to_owned(), cause };
        let blamed: Vec<Blame> = owners.into_iter().map(blame).collect();
        let refused = Refused { good, message: message.to_owned(), blamed: blamed.clone() };
        self.refused.insert(piece.clone(), refused);
        blamed
    }
}

/// The objects in a piece that changed after it was last good; all of them if none did.
fn newer_owners(piece: &XdsKey, good: Revision, machine: &impl Machine) -> Vec<ResourceKey> {
    let owners = machine.owners(piece);
    let is_newer = |owner: &&ResourceKey| machine.revision_of(owner).is_some_and(|revision| revision > good);
    let newer = owners.iter().filter(is_newer).cloned().collect();
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
