//! Who is to blame for a refused push.
//!
//! Only what Envoy names, or what it refused alone, is condemned: all other suspects are taken out and tried apart.

use proto::{ArcStr, Cause, XdsKey, XdsKind};

use super::{
    message::{may_pass, pointed_to, reason, told, words},
    push::{Item, Push},
    refused::{Refused, Retry},
    session::{Mark, Notice, Session},
    subscriptions::Sent,
};
use crate::{
    resource::ResourceType,
    scope::{Effect, Offer, Scope},
};

/// A refused push, and what is known of it.
struct Nack<'a> {
    session: &'a mut Session,
    scope: &'a mut Scope,
    effect: &'a mut Effect,
    kind: ResourceType,
    push: &'a Push,
    /// What the message says.
    words: String,
    /// The same in short, to report.
    message: String,
    /// True if the proxy certainly held the same subscriptions when it took the push.
    is_held: bool,
    /// Pieces that are to blame, with the reason.
    blamed: Vec<(XdsKey, String, Cause)>,
}

impl Session {
    /// Finds out which pieces are bad.
    pub(super) fn nack(
        &mut self,
        kind: ResourceType,
        push: &Push,
        message: &str,
        scope: &mut Scope,
        effect: &mut Effect,
    ) -> Vec<Notice> {
        let (is_held, blamed) = (true, Vec::new());
        let (words, short) = (words(message), told(message));
        let mut nack =
            Nack { session: self, scope, effect, kind, push, words, message: short, is_held, blamed };
        nack.judge(message);
        nack.pause();
        nack.notices()
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
        self.of(kind).refusals.forget(&item.name, item.version);
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
        name: &ArcStr,
        scope: &mut Scope,
        effect: &mut Effect,
    ) {
        if let Some(refused) = self.of(kind).refused.remove(name) {
            scope.assent(&refused.key, self.id, effect);
        }
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

impl Nack<'_> {
    /// Envoy applies the good resources of a CDS or LDS push and names the bad ones, unless a message breaks a
    /// validation rule; of the other types it keeps what it had and rarely names anything.
    fn judge(&mut self, message: &str) {
        let (kind, push) = (self.kind, self.push);
        let names: Vec<_> = push.items.iter().map(|item| &item.name).collect();
        let reasons: Vec<_> = names.iter().map(|name| reason(kind, message, &names, name)).collect();
        let is_named = reasons.iter().any(Option::is_some);
        let is_one = push.items.len() == 1;
        let mut unnamed = Vec::new();
        for (item, reason) in push.items.iter().zip(reasons) {
            if is_named && reason.is_none() {
                self.session.accepted(kind, item, self.scope, self.effect);
                continue;
            }
            self.session.take_back(kind, item, push, is_named || is_one);
            let since = self.session.get(kind).since(&item.name);
            self.is_held &= since == item.since;
            // Envoy ignores what it is not subscribed to.
            let Some(_) = since else { continue };
            match reason {
                Some(reason) if may_pass(kind, reason) => self.wait(item, reason),
                Some(reason) => self.named(item, &told(reason)),
                None if is_one && may_pass(kind, message) => self.wait(item, message),
                None => unnamed.push(item),
            }
        }
        self.tell_apart(&unnamed);
    }

    /// A reason that may pass: it says nothing of the configuration, and is for this proxy to try again.
    fn wait(&mut self, item: &Item, reason: &str) {
        let refused = &self.session.get(self.kind).refused;
        let last = refused.get(&item.name).filter(|last| last.version == item.version);
        let retry = Retry::after(last.and_then(|last| last.retry), self.session.now);
        let key = self.scope.key_of_resource(self.kind, &item.name);
        self.refuse(item, key.clone(), Some(retry));
        self.blamed.push((key, told(reason), Cause::Circumstance));
    }

    /// Holds back what this proxy has refused too often to learn anything from it.
    fn pause(&mut self) {
        for item in &self.push.items {
            let now = self.session.now;
            let state = self.session.of(self.kind);
            let has_it = state.sent.get(&item.name).is_some_and(|sent| sent.version == Some(item.version));
            if !state.wants(&item.name) || has_it {
                continue;
            }
            let waits = state.refuses(&item.name, item.version);
            let retry = state.refusals.add(&item.name, item.version, now);
            if let Some(retry) = retry.filter(|_| !waits) {
                let key = self.scope.key_of_resource(self.kind, &item.name);
                self.refuse(item, key.clone(), Some(retry));
                self.blamed.push((key, self.message.clone(), Cause::Content));
            }
        }
    }

    /// Notes that this proxy alone does not take a version.
    fn refuse(&mut self, item: &Item, key: XdsKey, retry: Option<Retry>) {
        self.scope.dissent(key.clone(), self.session.id);
        let refused = Refused { version: item.version, key: key.clone(), retry, is_due: false };
        if let Some(before) = self.session.of(self.kind).refused.insert(item.name.clone(), refused)
            && before.key != key
        {
            self.scope.assent(&before.key, self.session.id, self.effect);
        }
    }

    /// Envoy named the resource.
    fn named(&mut self, item: &Item, reason: &str) {
        let suspects = self.scope.suspects(&item.unproven, item.seq);
        if suspects.is_empty() {
            return self.dissent(item, reason);
        }
        self.accuse(&suspects);
        self.condemn(suspects, reason);
    }

    fn accuse(&mut self, suspects: &[XdsKey]) {
        let touched = self.scope.quarantine(self.kind, suspects, self.session.id);
        self.effect.touched.extend(touched);
    }

    fn condemn(&mut self, suspects: Vec<XdsKey>, reason: &str) {
        for key in suspects {
            self.scope.condemn(&key, self.session.id);
            let cause = if self.scope.is_left_out(&key) { Cause::Unserved } else { Cause::Content };
            self.blamed.push((key, reason.to_owned(), cause));
        }
    }

    /// Envoy did not say which of the items it refused.
    fn tell_apart(&mut self, items: &[&Item]) {
        let evidence = self.scope.evidence(items.iter().map(|item| (&item.unproven[..], item.seq)));
        if evidence.is_explained {
            // Another proxy refused the same, and what was served since is on its way.
            return;
        }
        let message = self.message.clone();
        let (frozen, others): (Vec<&Item>, Vec<&Item>) = items.iter().partition(|item| self.is_frozen(item));
        let mut suspects = self.scope.suspects_of(others.iter().map(|item| (&item.unproven[..], item.seq)));
        let is_alone = evidence.suspects.len() == 1 && !evidence.is_outdated && self.is_held;
        let is_solo = self.push.solo.is_some() && self.push.solo.as_ref() == evidence.suspects.first();
        if is_alone && (is_solo || !items.iter().any(|item| self.is_unknown(item))) {
            self.accuse(&evidence.suspects);
            if is_solo || self.is_exact(items) {
                self.condemn(evidence.suspects, &message);
            }
            return;
        }
        if is_alone && items.iter().all(|item| self.lacks_only(item, &evidence.suspects[0])) {
            self.accuse(&evidence.suspects);
            return self.condemn(evidence.suspects, &message);
        }
        if suspects.is_empty() {
            return self.try_apart(items);
        }
        self.try_apart(&frozen);
        if self.kind == ResourceType::Route {
            let tables = others.iter().map(|item| &item.name);
            let pointed = pointed_to(&self.words, tables, suspects.clone(), self.scope);
            if !self.are_on_trial(&pointed) {
                suspects = pointed;
            }
        }
        self.accuse(&suspects);
    }

    /// True if these alone are tried. To suspect them once more would lead to the same push: something that comes
    /// with them must be told from them.
    fn are_on_trial(&self, suspects: &[XdsKey]) -> bool {
        suspects.iter().all(|key| self.scope.is_on_trial(self.kind, key))
    }

    /// True if it is not known what the proxy has of a table.
    fn is_unknown(&self, item: &Item) -> bool {
        let inherited = item.previous.as_ref().is_some_and(|sent| sent.inherited);
        // One that is to be tried again has nothing but what it had.
        let stays =
            self.session.get(self.kind).refused.get(&item.name).is_some_and(|one| one.retry.is_none());
        self.kind == ResourceType::Route && (inherited || stays)
    }

    /// The same of a table, or of one of those that it is among.
    fn is_frozen(&self, item: &Item) -> bool {
        self.is_unknown(item) || self.kind == ResourceType::Route && self.is_inherited(item)
    }

    fn is_inherited(&self, item: &Item) -> bool {
        let routes = |table| lookup::routes_of(table).unwrap_or(table);
        self.session.inherited().any(|table| routes(table) == routes(&item.name))
    }

    /// Others accepted all of it, or it is not known what the proxy has: if it is one of several resources, they
    /// are sent one by one.
    fn try_apart(&mut self, items: &[&Item]) {
        for item in items {
            if self.push.items.len() > 1 {
                self.session.of(self.kind).alone.insert(item.name.clone());
                continue;
            }
            let suspects = self.to_leave_out(item);
            if suspects.is_empty() {
                self.dissent(item, &self.message.clone());
            } else {
                self.accuse(&suspects);
            }
        }
    }

    /// What to leave out next of a table that the proxy brought along and refuses as it is now: what the message
    /// points to, or else half of what nobody has accepted. All else stays: the proxy may serve it.
    fn to_leave_out(&self, item: &Item) -> Vec<XdsKey> {
        let has_refused = self.session.get(self.kind).refused.contains_key(&item.name);
        if self.kind != ResourceType::Route || !self.is_inherited(item) || has_refused {
            return Vec::new();
        }
        let mut suspects = self.scope.suspects(&item.unproven, item.seq);
        suspects.retain(|key| key.kind != XdsKind::RouteTable);
        let pointed = pointed_to(&self.words, [&item.name].into_iter(), suspects.clone(), self.scope);
        if pointed.len() < suspects.len() && !self.are_on_trial(&pointed) {
            return pointed;
        }
        let half = if self.is_served(item) { suspects.len().div_ceil(2) } else { 0 };
        let (few, _) = suspects.split_at(half);
        if few.is_empty() || !self.are_on_trial(few) { few.to_vec() } else { suspects }
    }

    fn is_served(&self, item: &Item) -> bool {
        let offer = self.scope.offer(self.kind, &item.name);
        matches!(offer, Offer::Ready { version, .. } if version == item.version)
    }

    /// The proxy stays on what it has.
    fn dissent(&mut self, item: &Item, message: &str) {
        if !self.is_served(item) {
            // It has changed since: what it is now is on its way.
            return;
        }
        let suspects = self.scope.suspects(&item.unproven, item.seq);
        let mut pointed = pointed_to(&self.words, [&item.name].into_iter(), suspects, self.scope);
        let key = match (pointed.pop(), pointed.is_empty()) {
            (Some(key), true) => key,
            _ => self.scope.key_of_resource(self.kind, &item.name),
        };
        self.refuse(item, key.clone(), None);
        self.blamed.push((key, message.to_owned(), Cause::Content));
        if self.kind == ResourceType::Route {
            // It cannot tell any more whether these are good.
            self.scope.drop_suspicions(self.session.id, &item.name, self.effect);
        }
    }

    /// True if the push differed by nothing but the suspect from what the proxy had accepted.
    fn is_exact(&self, items: &[&Item]) -> bool {
        if self.kind != ResourceType::Route {
            return items.len() == 1;
        }
        let had = |item: &Item| item.previous.as_ref().map(|sent| sent.version);
        items.iter().all(|item| match (had(item), self.scope.offer(self.kind, &item.name)) {
            (Some(had), Offer::Ready { version, .. }) => had == Some(version),
            (None, Offer::Absent | Offer::Withheld) => true,
            _ => false,
        })
    }

    /// True if what a proxy brought along differs from the item by nothing but the suspect.
    fn lacks_only(&self, item: &Item, suspect: &XdsKey) -> bool {
        let had = item.previous.as_ref().and_then(|sent| sent.version);
        let lacking = had.and_then(|had| self.scope.lacking(&item.name, had));
        lacking.is_some_and(|domain| domain == suspect.domain)
    }

    fn notices(self) -> Vec<Notice> {
        let (kind, revision) = (self.kind, self.push.revision);
        let mut notices = vec![Notice::PushNacked { kind }];
        if self.blamed.is_empty() {
            let (keys, cause) = (Vec::new(), Cause::Content);
            notices.push(Notice::Nacked { revision, keys, message: self.message, cause });
        }
        let nacked = |(key, message, cause)| Notice::Nacked { revision, keys: vec![key], message, cause };
        notices.extend(self.blamed.into_iter().map(nacked));
        notices
    }
}
