//! Where the shard's results go: to the proxies and to the statuses.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use distribute::Distributor;
use proto::{Blame, Delta, Feedback, ResourceKey};
use shard::{Outputs, Told};

use super::held::Held;
use crate::status::Statuses;

/// The xDS server and the statuses.
pub(super) struct Wired {
    pub(super) distributor: Distributor,
    pub(super) statuses: Arc<Statuses>,
    /// How long proxies keep what they have of a Gateway that moved to another controller.
    pub(super) hold: Duration,
    pub(super) held: Arc<Mutex<Held>>,
}

impl Wired {
    /// To the proxies, in the order of revisions.
    fn distribute(&self, delta: &Delta, moved: &[ResourceKey]) {
        let moved = if self.hold.is_zero() { &[] } else { moved };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.distributor.publish(&held.pass(delta, moved));
        for gateway in moved {
            let (held, distributor) = (Arc::clone(&self.held), self.distributor.clone());
            let (gateway, hold, since) = (gateway.clone(), self.hold, delta.revision);
            tokio::spawn(async move {
                tokio::time::sleep(hold).await;
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(delta) = held.release(&gateway, since) {
                    distributor.publish(&delta);
                }
            });
        }
    }
}

impl Outputs for Wired {
    fn publish(&self, delta: &Delta, moved: &[ResourceKey]) {
        // The proxies first: they are what people wait for.
        self.distribute(delta, moved);
        self.statuses.published(delta);
    }

    fn translator_failed(&self, keys: &[ResourceKey], message: &str) {
        for key in keys {
            let remedy =
                "this is a bug in fleetgate: report it with the object, and change the object meanwhile";
            self.statuses.internal_fault(key, message, remedy);
        }
    }

    fn feedback(&self, feedback: &Feedback, blamed: &[Blame]) {
        self.statuses.feedback(feedback, blamed);
    }
}

impl Told for Wired {
    fn log_failing(&self, error: Option<&store::Error>) {
        self.statuses.log_failing(error.map(ToString::to_string));
    }

    fn refused(&self, key: &ResourceKey, reason: &str) {
        self.statuses.internal_fault(
            key,
            &format!("the event log refuses it: {reason}"),
            "correct the object",
        );
    }
}
