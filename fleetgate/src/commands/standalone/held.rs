//! What proxies have of a Gateway that moved to a class of another controller stays for a while: until the other one's
//! proxies are there, these serve on with it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use proto::{Delta, LogId, ResourceKey, Revision, XdsKey};

/// Removals that wait, by Gateway.
#[derive(Debug, Default)]
pub(super) struct Held {
    of: BTreeMap<ResourceKey, (Revision, BTreeSet<XdsKey>)>,
    /// The newest revision that has passed, and its log.
    revision: Revision,
    log: LogId,
}

impl Held {
    /// What is published of a delta now. The removals of `moved` wait for [`Held::release`]; when one of them is ours
    /// again, what it does not have any more goes.
    pub(super) fn pass<'a>(&mut self, delta: &'a Delta, moved: &[ResourceKey]) -> Cow<'a, Delta> {
        (self.revision, self.log) = (self.revision.max(delta.revision), delta.log);
        if moved.is_empty() && self.of.is_empty() {
            return Cow::Borrowed(delta);
        }
        let mut delta = delta.clone();
        for report in delta.reports.iter().filter(|report| report.status.is_some()) {
            let Some((_, mut left)) = self.of.remove(&report.key) else { continue };
            for put in &delta.puts {
                left.remove(&put.key);
            }
            delta.removes.extend(left);
        }
        for gateway in moved {
            let (waits, now): (Vec<_>, Vec<_>) =
                delta.removes.into_iter().partition(|key| key.scope == *gateway);
            delta.removes = now;
            self.of.insert(gateway.clone(), (delta.revision, waits.into_iter().collect()));
        }
        delta.removes.sort_unstable();
        Cow::Owned(delta)
    }

    /// What waits since this revision; none if that is over.
    pub(super) fn release(&mut self, gateway: &ResourceKey, since: Revision) -> Option<Delta> {
        self.of.get(gateway).filter(|(held, _)| *held == since)?;
        let (_, removes) = self.of.remove(gateway)?;
        let removes = removes.into_iter().collect();
        Some(Delta { revision: self.revision, log: self.log, removes, ..Delta::default() })
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proto::{Delta, Kind, ObjectStatus, Put, Report, ResourceKey, Revision, XdsKey};

    use super::Held;

    fn gateway(name: &str) -> ResourceKey {
        ResourceKey::local(Kind::GATEWAY, "default", name)
    }

    fn host(gateway: &ResourceKey, domain: &str) -> XdsKey {
        XdsKey::virtual_host(gateway.clone(), "http/80", domain)
    }

    fn delta(revision: u64, removes: Vec<XdsKey>) -> Delta {
        Delta { revision: Revision(revision), removes, ..Delta::default() }
    }

    #[test]
    fn a_gateway_that_moved_is_served_on_for_a_while_and_others_are_not() {
        let (web, other) = (gateway("web"), gateway("other"));
        let mut held = Held::default();
        let moving = delta(5, vec![host(&web, "a"), host(&other, "a")]);
        let told = held.pass(&moving, std::slice::from_ref(&web)).into_owned();
        assert_eq!(told.removes, [host(&other, "a")]);
        assert!(matches!(held.pass(&delta(6, Vec::new()), &[]), Cow::Owned(_)));
        assert_eq!(held.release(&web, Revision(4)), None, "it moved again since");
        assert_eq!(held.release(&web, Revision(5)).unwrap(), delta(6, vec![host(&web, "a")]));
        assert_eq!(held.release(&web, Revision(5)), None);
        assert!(matches!(held.pass(&delta(7, Vec::new()), &[]), Cow::Borrowed(_)));
    }

    #[test]
    fn one_that_comes_back_loses_what_it_has_no_more() {
        let web = gateway("web");
        let mut held = Held::default();
        let moving = delta(5, vec![host(&web, "a"), host(&web, "b")]);
        held.pass(&moving, std::slice::from_ref(&web));
        let mut back = delta(6, Vec::new());
        back.puts = vec![Put::new(host(&web, "a"), b"a".to_vec())];
        back.reports = vec![Report { key: web.clone(), status: Some(ObjectStatus::default()) }];
        assert_eq!(held.pass(&back, &[]).removes, [host(&web, "b")]);
        assert_eq!(held.release(&web, Revision(5)), None);
    }
}
