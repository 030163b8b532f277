//! Who is to blame for a refused push.
//!
//! Only what Envoy names, or what it refused alone, is condemned: all other suspects are taken out and tried apart.

use proto::XdsKey;

use super::{
    message::{may_pass, one_line, pointed_to, reason},
    push::{Item, Push},
    refused::{Refused, Retry},
    session::{Cause, Mark, Notice, Output, Session},
    subscriptions::Sent,
};
use crate::{
    resource::ResourceType,
    scope::{Effect, Offer, Scope},
};

/// A refused push, and what is known of it.
struct Nack<'a> {
    kind: ResourceType,
    push: &'a Push,
    /// The whole message.
    message: String,
    /// True if the proxy certainly held the same subscriptions when it took the push.
    is_held: bool,
    /// Pieces that are to blame, with the reason.
    blamed: Vec<(XdsKey, String, Cause)>,
}

impl Session {
    /// Finds out which pieces are bad. Envoy applies the good resources of a CDS or LDS push and names the bad
    /// ones, unless a message breaks a validation rule; of the other types it keeps what it had and rarely
    /// names anything.
    pub(crate) fn nack(
        &mut self,
        kind: ResourceType,
        push: &Push,
        message: &str,
        scope: &mut Scope,
        effect: &mut Effect,
        out: &mut Output,
    ) {
        let names: Vec<_> = push.items.iter().map(|item| &item.name).collect();
        let reasons: Vec<_> = names.iter().map(|name| reason(kind, message, &names, name)).collect();
        let is_named = reasons.iter().any(Option::is_some);
        let mut nack = Nack { kind, push, message: one_line(message), is_held: true, blamed: Vec::new() };
        let mut unnamed = Vec::new();
        for (item, reason) in push.items.iter().zip(reasons) {
            if is_named && reason.is_none() {
                self.accepted(kind, item, scope, effect);
                continue;
            }
            self.take_back(kind, item, push, is_named || push.items.len() == 1);
            let since = self.get(kind).since(&item.name);
            nack.is_held &= since == item.since;
            // Envoy ignores what it is not subscribed to.
            let Some(_) = since else { continue };
            match reason {
                Some(reason) if may_pass(kind, reason) => self.wait(item, reason, &mut nack, scope, effect),
                Some(reason) => self.named(item, &one_line(reason), &mut nack, scope, effect),
                None if push.items.len() == 1 && may_pass(kind, message) => {
                    self.wait(item, message, &mut nack, scope, effect);
                }
                None => unnamed.push(item),
            }
        }
        self.tell_apart(&unnamed, &mut nack, scope, effect);
        nack.tell(out);
    }

    /// The proxy has an item of a push.
    pub(super) fn accepted(
        &mut self,
        kind: ResourceType,
        item: &Item,
        scope: &mut Scope,
        effect: &mut Effect,
    ) {
        // It ignores what it is not subscribed to when the push comes.
        if item.since.is_none() || self.get(kind).since(&item.name) != item.since {
            return;
        }
        scope.prove(&item.unproven, item.seq, effect);
        if kind == ResourceType::Route {
            scope.note_pushed(&item.name, item.version, item.seq, &[]);
        }
        self.of(kind).alone.remove(&item.name);
        self.relent(kind, &item.name, scope, effect);
    }

    /// What the proxy refused of a name is over.
    pub(super) fn relent(
        &mut self,
        kind: ResourceType,
        name: &proto::ArcStr,
        scope: &mut Scope,
        effect: &mut Effect,
    ) {
        if let Some(refused) = self.of(kind).refused.remove(name) {
            scope.assent(&refused.key, self.id, effect);
        }
    }

    /// A reason that may pass: it says nothing of the configuration, and is for this proxy to try again.
    fn wait(
        &mut self,
        item: &Item,
        reason: &str,
        nack: &mut Nack<'_>,
        scope: &mut Scope,
        effect: &mut Effect,
    ) {
        let last = self.get(nack.kind).refused.get(&item.name).filter(|last| last.version == item.version);
        let retry = Retry::after(last.and_then(|last| last.retry), self.now);
        let key = scope.key_of_resource(nack.kind, &item.name);
        self.refuse(nack.kind, item, key.clone(), Some(retry), scope, effect);
        nack.blamed.push((key, one_line(reason), Cause::Circumstance));
    }

    /// Notes that this proxy alone does not take a version.
    fn refuse(
        &mut self,
        kind: ResourceType,
        item: &Item,
        key: XdsKey,
        retry: Option<Retry>,
        scope: &mut Scope,
        effect: &mut Effect,
    ) {
        scope.dissent(key.clone(), self.id);
        let refused = Refused { version: item.version, key: key.clone(), retry, is_due: false };
        if let Some(before) = self.of(kind).refused.insert(item.name.clone(), refused)
            && before.key != key
        {
            scope.assent(&before.key, self.id, effect);
        }
    }

    /// Envoy named the resource.
    fn named(
        &mut self,
        item: &Item,
        reason: &str,
        nack: &mut Nack<'_>,
        scope: &mut Scope,
        effect: &mut Effect,
    ) {
        let suspects = scope.suspects(&item.unproven, item.seq);
        if suspects.is_empty() {
            return self.dissent(item, reason, nack, scope, effect);
        }
        effect.touched.extend(scope.quarantine(nack.kind, &suspects));
        self.condemn(suspects, reason, nack, scope);
    }

    fn condemn(&self, suspects: Vec<XdsKey>, reason: &str, nack: &mut Nack<'_>, scope: &mut Scope) {
        for key in suspects {
            scope.condemn(&key, self.id);
            nack.blamed.push((key, reason.to_owned(), Cause::Content));
        }
    }

    /// Envoy did not say which of the items it refused.
    fn tell_apart(&mut self, items: &[&Item], nack: &mut Nack<'_>, scope: &mut Scope, effect: &mut Effect) {
        let evidence = scope.evidence(items.iter().map(|item| (&item.unproven[..], item.seq)));
        if evidence.is_explained {
            // Another proxy refused the same, and what was served since is on its way.
            return;
        }
        // What a proxy brought along is new to this server, and trying hosts apart would take some away that it
        // serves: it stays on what it has.
        let (frozen, others): (Vec<&Item>, Vec<&Item>) =
            items.iter().partition(|item| self.is_frozen(nack.kind, item));
        let message = nack.message.clone();
        let mut suspects = scope.suspects_of(others.iter().map(|item| (&item.unproven[..], item.seq)));
        let is_alone = evidence.suspects.len() == 1 && !evidence.is_outdated && nack.is_held;
        if is_alone && frozen.is_empty() {
            effect.touched.extend(scope.quarantine(nack.kind, &suspects));
            if is_exact(items, &suspects, nack, scope) {
                self.condemn(suspects, &message, nack, scope);
            }
            return;
        }
        if is_alone && items.iter().all(|item| lacks_only(item, &evidence.suspects[0], scope)) {
            effect.touched.extend(scope.quarantine(nack.kind, &evidence.suspects));
            return self.condemn(evidence.suspects, &message, nack, scope);
        }
        if suspects.is_empty() {
            return self.lacks_though_others_have(items, nack, scope, effect);
        }
        self.lacks_though_others_have(&frozen, nack, scope, effect);
        if nack.kind == ResourceType::Route {
            suspects = pointed_to(&message, others.iter().map(|item| &item.name), suspects, scope);
        }
        effect.touched.extend(scope.quarantine(nack.kind, &suspects));
    }

    /// True if a proxy has a table of which this server does not know what is in it.
    fn is_frozen(&self, kind: ResourceType, item: &Item) -> bool {
        let inherited = item.previous.as_ref().is_some_and(|sent| sent.inherited);
        kind == ResourceType::Route && (inherited || self.get(kind).refused.contains_key(&item.name))
    }

    /// Others accepted all of it, or it is not known what the proxy has: if it is one of several resources, they
    /// are sent one by one.
    fn lacks_though_others_have(
        &mut self,
        items: &[&Item],
        nack: &mut Nack<'_>,
        scope: &mut Scope,
        effect: &mut Effect,
    ) {
        let message = nack.message.clone();
        for item in items {
            if nack.push.items.len() > 1 {
                self.of(nack.kind).alone.insert(item.name.clone());
            } else {
                self.dissent(item, &message, nack, scope, effect);
            }
        }
    }

    /// The proxy stays on what it has.
    fn dissent(
        &mut self,
        item: &Item,
        message: &str,
        nack: &mut Nack<'_>,
        scope: &mut Scope,
        effect: &mut Effect,
    ) {
        let offer = scope.offer(nack.kind, &item.name);
        if !matches!(offer, Offer::Ready { version, .. } if version == item.version) {
            // It has changed since: what it is now is on its way.
            return;
        }
        let suspects = scope.suspects(&item.unproven, item.seq);
        let mut pointed = pointed_to(message, [&item.name].into_iter(), suspects, scope);
        let key = match (pointed.pop(), pointed.is_empty()) {
            (Some(key), true) => key,
            _ => scope.key_of_resource(nack.kind, &item.name),
        };
        self.refuse(nack.kind, item, key.clone(), None, scope, effect);
        nack.blamed.push((key, message.to_owned(), Cause::Content));
    }

    /// The proxy does not have an item after all. What it has instead is known only if nothing of the
    /// push can have been applied.
    fn take_back(&mut self, kind: ResourceType, item: &Item, push: &Push, exact: bool) {
        if let Some(name) = &item.endpoints {
            self.awaited.remove(name);
        }
        if kind == ResourceType::Endpoints {
            self.awaited.remove(&item.name);
        }
        let mark = push.mark.unwrap_or_else(|| Mark::at(push.revision));
        let state = self.of(kind);
        if state.sent.get(&item.name).is_none_or(|sent| sent.nonce != push.nonce) {
            return;
        }
        match item.previous {
            Some(previous) => {
                let version = previous.version.filter(|_| exact);
                state.sent.insert(item.name.clone(), Sent { version, ..previous });
            }
            None => {
                state.sent.remove(&item.name);
            }
        }
        state.touch(&item.name, Mark { forced: false, ..mark });
    }
}

/// True if the push differed by nothing but the suspect from what the proxy had accepted.
fn is_exact(items: &[&Item], suspects: &[XdsKey], nack: &Nack<'_>, scope: &Scope) -> bool {
    if nack.push.solo.is_some() && nack.push.solo.as_ref() == suspects.first() {
        return true;
    }
    if nack.kind != ResourceType::Route {
        return items.len() == 1;
    }
    let had = |item: &Item| item.previous.as_ref().map(|sent| sent.version);
    items.iter().all(|item| match (had(item), scope.offer(nack.kind, &item.name)) {
        (Some(had), Offer::Ready { version, .. }) => had == Some(version),
        (None, Offer::Absent | Offer::Withheld) => true,
        _ => false,
    })
}

/// True if what a proxy brought along differs from the item by nothing but the suspect.
fn lacks_only(item: &Item, suspect: &XdsKey, scope: &Scope) -> bool {
    let had = item.previous.as_ref().and_then(|sent| sent.version);
    had.and_then(|had| scope.lacking(&item.name, had)).is_some_and(|domain| domain == suspect.domain)
}

impl Nack<'_> {
    fn tell(self, out: &mut Output) {
        let (kind, revision) = (self.kind, self.push.revision);
        out.notices.push(Notice::PushNacked { kind });
        if self.blamed.is_empty() {
            let (keys, cause) = (Vec::new(), Cause::Content);
            out.notices.push(Notice::Nacked { revision, keys, message: self.message, cause });
        }
        for (key, message, cause) in self.blamed {
            out.notices.push(Notice::Nacked { revision, keys: vec![key], message, cause });
        }
    }
}
