//! Reports: what a node says of an object, and what the engine itself has to say of it.

use proto::{Condition, Fault, ObjectStatus, Report, ResourceKey};

use crate::{Engine, Graph};

impl<G: Graph> Engine<G> {
    /// The report on an object as it is now.
    pub(crate) fn report(&self, key: ResourceKey) -> Report {
        let mut status = match self.objects.undecoded(&key) {
            Some(fault) => Some(self.refused(&key, "Invalid", fault)),
            None => self.said_by_node(&key),
        };
        let skipped = self.objects.skipped(&key).map(|_| ("NewerVersion", skipped(&key)));
        let failures = self.failures.get(&key).into_iter().flat_map(|failures| failures.values());
        let failed = failures.map(|failure| ("Internal", failure.fault(&key)));
        for (reason, fault) in skipped.into_iter().chain(failed) {
            match &mut status {
                Some(status) => add(status, reason, fault),
                None => status = Some(self.refused(&key, reason, &fault)),
            }
        }
        Report { key, status }
    }

    fn said_by_node(&self, key: &ResourceKey) -> Option<ObjectStatus> {
        let node = self.node(&G::reporter(key)?)?;
        node.output.report.as_ref()?.status.clone()
    }

    /// The status of an object of which nothing else is known.
    fn refused(&self, key: &ResourceKey, reason: &'static str, fault: &Fault) -> ObjectStatus {
        ObjectStatus {
            observed_generation: self.objects.get(key).map_or(0, |event| event.generation),
            conditions: vec![Condition::new("Accepted", false, reason, fault.to_string())],
            faults: vec![fault.clone()],
            ..ObjectStatus::default()
        }
    }
}

/// What is wrong beside what a node says: not all of the object is live.
fn add(status: &mut ObjectStatus, reason: &'static str, fault: Fault) {
    if let Some(programmed) = status.conditions.iter_mut().find(|condition| condition.kind == "Programmed") {
        *programmed = Condition::new("Programmed", false, reason, fault.to_string());
    }
    status.faults.push(fault);
}

fn skipped(key: &ResourceKey) -> Fault {
    Fault {
        object: key.clone(),
        field: String::new(),
        problem: "its newest change was written by a newer fleetgate, so it stays as it was before"
            .to_owned(),
        remedy: "upgrade this fleetgate".to_owned(),
    }
}
