//! What the problems of a route mean for its conditions.

use proto::{Condition, Fault, JsonText, ObjectStatus, ParentStatus, Report, ResourceKey, literal};

use super::parent::Attempt;
use super::{Problem, sentence};
use crate::cx::{Cx, Output};
use crate::ir::Verdict;

/// Conditions that hold for all parents of a route.
pub(crate) struct Health {
    accepted: Option<Verdict>,
    resolved: Verdict,
    partially_invalid: Option<Verdict>,
}

impl Health {
    /// Of a route with so many rules, so many of which do nothing but fail.
    pub(crate) fn of(problems: &[Problem], refused_rules: usize, rules: usize) -> Self {
        let mut health = Health {
            accepted: None,
            resolved: Verdict::yes(literal!("ResolvedRefs"), literal!("all references resolve")),
            partially_invalid: None,
        };
        for problem in problems {
            match problem {
                Problem::Reference(reason, fault) if health.resolved.holds => {
                    health.resolved = Verdict::no(reason.clone(), sentence(fault));
                }
                Problem::Value(reason, fault)
                    if health.accepted.is_none() && health.partially_invalid.is_none() =>
                {
                    if refused_rules == rules {
                        health.accepted = Some(Verdict::no(reason.clone(), sentence(fault)));
                    } else {
                        health.partially_invalid =
                            Some(Verdict::yes(literal!("UnsupportedValue"), sentence(fault)));
                    }
                }
                _ => {}
            }
        }
        health
    }

    /// False if no parent can accept the route for what it has.
    pub(crate) fn accepts(&self) -> bool {
        self.accepted.is_none()
    }

    /// The conditions for one parent.
    pub(crate) fn parent_status(&self, attempt: &Attempt) -> ParentStatus {
        let accepted = if attempt.accepted.holds {
            self.accepted.as_ref().unwrap_or(&attempt.accepted)
        } else {
            &attempt.accepted
        };
        let mut conditions =
            vec![accepted.condition(literal!("Accepted")), self.resolved.condition(literal!("ResolvedRefs"))];
        if let Some(partially) = self.partially_invalid.as_ref().filter(|_| accepted.holds) {
            conditions.push(partially.condition(literal!("PartiallyInvalid")));
        }
        ParentStatus {
            parent_ref: JsonText::of(&attempt.parent),
            gateway: Some(attempt.gateway.clone()),
            conditions,
        }
    }
}

/// Adds the status of a route.
pub(crate) fn with_report(
    mut output: Output,
    key: &ResourceKey,
    mut status: ObjectStatus,
    cx: &mut Cx<'_>,
) -> Output {
    status.observed_generation = cx.generation(key);
    output.report = Some(Box::new(Report { key: key.clone(), status: Some(status) }));
    output
}

/// The status of a route that does not decode.
pub(crate) fn invalid(fault: Fault) -> ObjectStatus {
    let conditions = vec![Condition::new(literal!("Accepted"), false, literal!("Invalid"), sentence(&fault))];
    ObjectStatus { conditions, faults: vec![fault], ..ObjectStatus::default() }
}
