//! Where the shard's results go: to the proxies and to the statuses.

use std::sync::Arc;

use distribute::shard::{Blame, Outputs};
use distribute::{Distributor, Feedback};
use proto::{Delta, ResourceKey};

use crate::status::Statuses;

/// The xDS server and the statuses.
pub(super) struct Wired {
    pub(super) distributor: Distributor,
    pub(super) statuses: Arc<Statuses>,
}

impl Outputs for Wired {
    fn publish(&self, delta: &Delta) {
        // The proxies first: they are what people wait for.
        self.distributor.publish(delta);
        self.statuses.published(delta);
    }

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
